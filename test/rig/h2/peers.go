// A Go net/http server and its clients over cleartext HTTP/2. Prints one JSON line: what every call was.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
)

type truth struct {
	Id       string `json:"id"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Status   int    `json:"status"`
	Sent     int    `json:"sent"`
	Received int    `json:"received"`
	Outcome  string `json:"outcome"`
}

func main() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		id := r.Header.Get("X-Id")
		w.Header().Set("X-Id", id)
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, strings.Repeat(id, 500))
		w.Header().Set("X-Sum", id)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: handler, Protocols: &protocols}
	go server.Serve(listener)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	var all []truth
	var mutex sync.Mutex
	for round := 0; round < 5; round++ {
		var group sync.WaitGroup
		for i := 0; i < 60; i++ {
			group.Add(1)
			go func(number int) {
				defer group.Done()
				id := fmt.Sprintf("go-%d", number)
				path := fmt.Sprintf("/v1/items/%d", number)
				body := strings.Repeat(id, (number%7)*300)
				method := "GET"
				var reader io.Reader
				if len(body) > 0 {
					method = "POST"
					reader = strings.NewReader(body)
				}
				request, _ := http.NewRequest(method, "http://"+listener.Addr().String()+path, reader)
				request.Header.Set("X-Id", id)
				response, err := client.Do(request)
				if err != nil {
					panic(err)
				}
				received, _ := io.Copy(io.Discard, response.Body)
				response.Body.Close()
				mutex.Lock()
				all = append(all, truth{id, method, path, response.StatusCode, len(body), int(received), "complete"})
				mutex.Unlock()
			}(round*60 + i)
		}
		group.Wait()
	}
	client.CloseIdleConnections()
	json.NewEncoder(os.Stdout).Encode(all)
}
