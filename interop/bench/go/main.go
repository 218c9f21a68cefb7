// Go's crypto/tls as a stack of the benchmark: server and client, with the protocol of wire.py and the control of control.py.
package main

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	download = 1
	upload   = 2
	echo     = 3
	hello    = 4
)

type command struct {
	Task, Operation, Face, Variant, Visit string
	Piece, Count                          int
	AtOnce                                int `json:"at_once"`
	Ports                                 map[string]int
}

type answer map[string]any

var folder string

func main() {
	log.SetFlags(0)
	folder = os.Args[3]
	if os.Args[1] == "server" {
		serve()
	} else {
		obey(act)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func say(said any) {
	check(json.NewEncoder(os.Stdout).Encode(said))
}

func obey(act func(command) answer) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var told command
		check(json.Unmarshal(lines.Bytes(), &told))
		say(safely(act, told))
	}
}

func safely(act func(command) answer, told command) (said answer) {
	defer func() {
		if err := recover(); err != nil {
			said = answer{"error": fmt.Sprint(err)}
		}
	}()
	return act(told)
}

// cpu gives this process's seconds: all, and those of them that the kernel had.
func cpu() (float64, float64) {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	user, system := time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	return (user + system).Seconds(), system.Seconds()
}

func resident() int {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	check(err)
	return pages * os.Getpagesize()
}

func restricted(variant string, config *tls.Config) *tls.Config {
	switch variant {
	case "x25519":
		config.CurvePreferences = []tls.CurveID{tls.X25519}
		config.MinVersion = tls.VersionTLS13
	case "tls12":
		config.MaxVersion = tls.VersionTLS12
	}
	return config
}

// the server

func serve() {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem"))
	check(err)
	ports := map[string]int{}
	for _, variant := range []string{"default", "x25519", "tls12"} {
		config := restricted(variant, &tls.Config{Certificates: []tls.Certificate{pair}})
		listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
		check(err)
		ports["protocol/"+variant] = listener.Addr().(*net.TCPAddr).Port
		go accept(listener)
	}
	say(answer{"ports": ports})
	obey(func(told command) answer {
		if told.Task == "memory" {
			return answer{"bytes": resident()}
		}
		used, system := cpu()
		return answer{"cpu": used, "system": system}
	})
}

func accept(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		check(err)
		go reply(connection)
	}
}

func reply(connection net.Conn) {
	defer connection.Close()
	var head [16]byte
	for {
		if _, err := io.ReadFull(connection, head[:]); err != nil {
			return
		}
		piece, total := int(binary.BigEndian.Uint32(head[4:8])), int(binary.BigEndian.Uint64(head[8:]))
		switch head[0] {
		case download:
			send(connection, piece, total)
		case upload:
			receive(connection, total)
			connection.Write([]byte("k"))
		case echo:
			io.Copy(connection, connection)
		case hello:
			connection.Write([]byte("k"))
		}
	}
}

func send(connection net.Conn, piece, total int) {
	data := make([]byte, piece)
	for ; total > 0; total -= piece {
		if _, err := connection.Write(data[:min(piece, total)]); err != nil {
			return
		}
	}
}

func receive(connection net.Conn, total int) {
	buffer := make([]byte, 256<<10)
	for total > 0 {
		size, err := connection.Read(buffer)
		total -= size
		if err != nil && total > 0 {
			panic(err)
		}
	}
}

// the client

var roots = sync.OnceValue(func() *x509.CertPool {
	pem, err := os.ReadFile(filepath.Join(folder, "root.pem"))
	check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
})

func trusting(variant string) *tls.Config {
	return restricted(variant, &tls.Config{ServerName: "localhost", RootCAs: roots()})
}

func dial(told command, config *tls.Config) *tls.Conn {
	variant := told.Variant
	if variant == "" {
		variant = "default"
	}
	connection, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", told.Ports["protocol/"+variant]), config)
	check(err)
	return connection
}

func ask(connection net.Conn, operation byte, piece, total int) {
	var head [16]byte
	head[0] = operation
	binary.BigEndian.PutUint32(head[4:8], uint32(piece))
	binary.BigEndian.PutUint64(head[8:], uint64(total))
	_, err := connection.Write(head[:])
	check(err)
}

func timed(count int, work func()) answer {
	runtime.GC()
	usedBefore, systemBefore := cpu()
	start := time.Now()
	work()
	seconds := time.Since(start).Seconds()
	used, system := cpu()
	return answer{"count": count, "seconds": seconds, "cpu": used - usedBefore, "system": system - systemBefore}
}

var held []net.Conn

func act(told command) answer {
	switch told.Task {
	case "bulk":
		return bulk(told)
	case "roundtrips":
		return roundtrips(told)
	case "handshakes":
		return handshakes(told)
	case "hold":
		for range told.Count {
			connection := dial(told, trusting("default"))
			greet(connection)
			held = append(held, connection)
		}
		time.Sleep(50 * time.Millisecond)
		return answer{"held": len(held)}
	case "drop":
		for _, connection := range held {
			connection.Close()
		}
		held = nil
		return answer{"held": 0}
	case "rss":
		return answer{"bytes": resident()}
	case "units":
		return units()
	case "agreed":
		connection := dial(told, trusting("default"))
		defer connection.Close()
		state := connection.ConnectionState()
		return answer{"version": tls.VersionName(state.Version), "cipher_suite": tls.CipherSuiteName(state.CipherSuite),
			"group": state.CurveID.String()}
	}
	panic("unknown task " + told.Task)
}

func greet(connection net.Conn) {
	ask(connection, hello, 0, 0)
	var reply [1]byte
	_, err := io.ReadFull(connection, reply[:])
	check(err)
}

func bulk(told command) answer {
	connection := dial(told, trusting("default"))
	defer connection.Close()
	return timed(told.Count, func() {
		if told.Operation == "download" {
			ask(connection, download, told.Piece, told.Count)
			receive(connection, told.Count)
		} else {
			ask(connection, upload, told.Piece, told.Count)
			send(connection, told.Piece, told.Count)
			receive(connection, 1)
		}
	})
}

func roundtrips(told command) answer {
	connection := dial(told, trusting("default"))
	defer connection.Close()
	message := make([]byte, 64)
	return timed(told.Count, func() {
		ask(connection, echo, 0, 0)
		for range told.Count {
			connection.Write(message)
			_, err := io.ReadFull(connection, message)
			check(err)
		}
	})
}

// what one cryptographic operation costs, in microseconds: units.py

func cost(work func()) float64 {
	best := math.Inf(1)
	for rounds, tries := 1, 0; tries < 5; {
		start := time.Now()
		for range rounds {
			work()
		}
		spent := time.Since(start)
		if spent < 5*time.Millisecond {
			rounds *= 4
			continue
		}
		best = min(best, float64(spent.Nanoseconds())/1000/float64(rounds))
		tries++
	}
	return best
}

func must[T any](made T, err error) T {
	check(err)
	return made
}

func units() answer {
	made := answer{}
	gcm := must(cipher.NewGCM(must(aes.NewCipher(make([]byte, 16)))))
	nonce, header := make([]byte, 12), make([]byte, 5)
	for name, size := range map[string]int{"small": 64, "kib": 1024, "full": 1 << 14} {
		plain, buffer := make([]byte, size), make([]byte, 0, size+16)
		sealed := gcm.Seal(nil, nonce, plain, header)
		made["seal_"+name] = cost(func() { gcm.Seal(buffer, nonce, plain, header) })
		made["open_"+name] = cost(func() { must(gcm.Open(buffer, nonce, sealed, header)) })
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	digest := sha256.Sum256(nonce)
	signature := must(ecdsa.SignASN1(rand.Reader, key, digest[:]))
	made["sign"] = cost(func() { must(ecdsa.SignASN1(rand.Reader, key, digest[:])) })
	made["verify"] = cost(func() { ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) })
	curve := ecdh.X25519()
	peer := must(curve.GenerateKey(rand.Reader)).PublicKey()
	classical := func() { must(must(curve.GenerateKey(rand.Reader)).ECDH(peer)) }
	kem := must(mlkem.GenerateKey768())
	_, ciphertext := kem.EncapsulationKey().Encapsulate()
	made["share"] = cost(func() { classical(); must(must(mlkem.GenerateKey768()).Decapsulate(ciphertext)) })
	made["answer"] = cost(func() { classical(); kem.EncapsulationKey().Encapsulate() })
	made["mac"] = cost(func() {
		mac := hmac.New(sha256.New, digest[:])
		mac.Write(digest[:])
		mac.Sum(nil)
	})
	return made
}

func handshakes(told command) answer {
	var left, resumed atomic.Int64
	left.Store(int64(told.Count))
	worker := func(config *tls.Config) {
		for left.Add(-1) >= 0 {
			connection := dial(told, config)
			greet(connection)
			if connection.ConnectionState().DidResume {
				resumed.Add(1)
			}
			connection.Close()
		}
	}
	configs := make([]*tls.Config, told.AtOnce)
	for place := range configs {
		configs[place] = trusting(told.Variant)
		if told.Visit == "resumed" {
			configs[place].ClientSessionCache = tls.NewLRUClientSessionCache(0) // keeps one session for each server
			connection := dial(told, configs[place])
			greet(connection)
			connection.Close()
		}
	}
	said := timed(told.Count, func() {
		var group sync.WaitGroup
		for _, config := range configs {
			group.Add(1)
			go func() {
				defer group.Done()
				worker(config)
			}()
		}
		group.Wait()
	})
	said["resumed"] = float64(resumed.Load()) / float64(told.Count)
	return said
}
