// The test site on net/http; site.ts says what each path does.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var requests atomic.Int64

func whole(w http.ResponseWriter, r *http.Request, status int, body []byte) int {
	if status != 204 && status != 304 {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method == "HEAD" || status == 204 || status == 304 {
		return 0
	}
	n, _ := w.Write(body)
	return n
}

func answer(w http.ResponseWriter, r *http.Request) (status, sent int) {
	mine := requests.Add(1)
	parts := append(strings.Split(r.URL.Path, "/"), "", "")
	n, _ := strconv.Atoi(parts[2])
	switch parts[1] {
	case "count":
		return 200, whole(w, r, 200, []byte(fmt.Sprintf("{\"n\":%d}\n", mine)))
	case "small":
		return 200, whole(w, r, 200, []byte("small\n"))
	case "bytes":
		return 200, whole(w, r, 200, bytes.Repeat([]byte("b"), n))
	case "chunked":
		w.Header().Set("Trailer", "X-Chunks")
		for i := 0; i < n; i++ {
			fmt.Fprint(w, strings.Repeat("c", 100))
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-Chunks", strconv.Itoa(n))
		return 200, n * 100
	case "close":
		conn, _, _ := w.(http.Hijacker).Hijack()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", strings.Repeat("d", n))
		conn.Close()
		return 200, n
	case "status":
		return n, whole(w, r, n, nil)
	case "slow":
		time.Sleep(time.Duration(n) * time.Millisecond)
		return 200, whole(w, r, 200, []byte("slow\n"))
	case "stall", "reset":
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "0123456789")
		w.(http.Flusher).Flush()
		if parts[1] == "stall" {
			time.Sleep(time.Hour)
		}
		time.Sleep(20 * time.Millisecond)
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
		return 200, 10
	case "hint":
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(103)
		return 200, whole(w, r, 200, []byte("hint\n"))
	case "sink":
		received, _ := io.Copy(io.Discard, r.Body)
		return 200, whole(w, r, 200, []byte(fmt.Sprintf("{\"received\":%d}\n", received)))
	}
	return 404, whole(w, r, 404, []byte("missing\n"))
}

func main() {
	log, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		status, sent := answer(w, r)
		id := r.Header.Get("X-Request-Id")
		if id == "" {
			id = "-"
		}
		fmt.Fprintf(log, "%s\t%s\t%s\t%d\t%d\n", id, r.Method, r.RequestURI, status, sent)
	}
	panic(http.ListenAndServe(":"+os.Args[1], http.HandlerFunc(handler)))
}
