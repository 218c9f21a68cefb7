module minitls/interop/bench/go

go 1.24 // the first with X25519MLKEM768; an older one here would turn it off
