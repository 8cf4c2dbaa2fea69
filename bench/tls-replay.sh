#!/bin/bash
# Records what bench/tls-replay.ts reads, in a network namespace of its own: unshare --net tls-replay.sh FOLDER CALLS.
# plain.pcap and h1.pcap: HTTP/1.1 keep-alive without and with TLS 1.3; h2.pcap: HTTP/2, 10 streams; *.keys: their key logs.
cd "$1" || exit 1
work=$PWD
ip link set lo up
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -days 2 2>/dev/null
cat > nginx.conf <<N
daemon off; worker_processes 1; pid $work/pid; error_log $work/err;
events {}
http {
  access_log off; keepalive_requests 10000000; ssl_certificate cert.pem; ssl_certificate_key key.pem;
  server { listen 127.0.0.1:8443 ssl http2; location / { return 200 "hello \$request_uri\n"; } }
  server { listen 127.0.0.1:8080; location / { return 200 "hello \$request_uri\n"; } }
}
N
nginx -p "$work" -c "$work/nginx.conf" & server=$!
dump=
trap 'kill $server $dump 2>/dev/null; wait' EXIT
sleep 1
record() {
  tcpdump -B 131072 -i lo -s 0 -Z root -w "$1.pcap" tcp 2> "$1.err" & dump=$!
  sleep 1
  SSLKEYLOGFILE=$work/$1.keys h2load -n "$2" "${@:3}" > "$1.out"
  sleep 2
  kill -INT $dump; wait $dump; dump=
}
record plain "$2" -c 8 --h1 http://127.0.0.1:8080/a
record h1 "$2" -c 8 --h1 https://127.0.0.1:8443/a
record h2 "$2" -c 4 -m 10 https://127.0.0.1:8443/a
