// Go's crypto/tls as a peer: an echo server, or a client that says a line to one, a few times, and resumes if it can.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

var curves = map[string]tls.CurveID{"X25519MLKEM768": tls.X25519MLKEM768, "X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384}

func main() {
	log.SetFlags(0)
	cert := flag.String("cert", "", "the certificate chain to show")
	key := flag.String("key", "", "its private key")
	ca := flag.String("ca", "", "whom to trust; a server then requires a certificate")
	curve := flag.String("curve", "", "the only group; else Go's own")
	visits := flag.Int("visits", 0, "client: how many connections, one after the other")
	address := flag.String("address", "127.0.0.1:0", "where to listen, or whom to call")
	flag.Parse()

	config := &tls.Config{ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if *curve != "" {
		config.CurvePreferences = []tls.CurveID{curves[*curve]}
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		check(err)
		config.Certificates = []tls.Certificate{pair}
	}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		check(err)
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
		config.ClientCAs, config.ClientAuth = config.RootCAs, tls.RequireAndVerifyClientCert
	}
	if *visits == 0 {
		serve(config, *address)
	}
	for range *visits {
		call(config, *address)
	}
}

func serve(config *tls.Config, address string) {
	listener, err := tls.Listen("tcp", address, config)
	check(err)
	fmt.Println("listening at", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		check(err)
		go func() {
			defer connection.Close()
			if err := connection.(*tls.Conn).Handshake(); err != nil {
				fmt.Println("error:", err)
				return
			}
			report(connection.(*tls.Conn))
			io.Copy(connection, connection)
		}()
	}
}

func call(config *tls.Config, address string) {
	connection, err := tls.Dial("tcp", address, config)
	check(err)
	defer connection.Close()
	report(connection)
	fmt.Fprintln(connection, "hello")
	line, err := bufio.NewReader(connection).ReadString('\n') // and the tickets before it
	check(err)
	fmt.Print("heard: ", line)
}

func report(connection *tls.Conn) {
	state := connection.ConnectionState()
	name := ""
	if len(state.PeerCertificates) > 0 {
		name = state.PeerCertificates[0].Subject.CommonName
	}
	fmt.Printf("%s %s %s resumed=%t peer=%s\n",
		tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID, state.DidResume, name)
}

func check(err error) {
	if err != nil {
		log.Fatal("error: ", err)
	}
}
