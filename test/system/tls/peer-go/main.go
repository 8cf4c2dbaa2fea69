// A server (`serve PORT`) and a client (`get URL KEYLOG`) on Go's own TLS.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	if os.Args[1] == "serve" {
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("x-id", r.URL.Query().Get("id"))
			io.WriteString(w, "hello\n")
		})
		log.Fatal(http.ListenAndServeTLS("127.0.0.1:"+os.Args[2], "cert.pem", "key.pem", nil))
	}
	keys, err := os.OpenFile(os.Args[3], os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{InsecureSkipVerify: true, KeyLogWriter: keys}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	response, err := client.Get(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	fmt.Println(response.StatusCode)
}
