#!/bin/bash
# Real servers and clients over TLS in the network namespace it is started in; prints how many requests were sent, with ids from r1.
# $1: an empty folder. Leaves there: capture.pcap, keys (every client's key log).
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$1
cd "$work" || exit 1
chmod 755 .
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 2>/dev/null
cat cert.pem key.pem > both.pem
openssl pkcs12 -export -in cert.pem -inkey key.pem -out store.p12 -passout pass:changeit 2>/dev/null

cat > nginx.conf <<N
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.err;
events {}
http { access_log off; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_ciphers ALL:@SECLEVEL=0; ssl_session_cache shared:S:1m;
  server { listen 127.0.0.1:9001 ssl http2; listen 127.0.0.1:9100; add_header x-id \$arg_id; location / { return 200 "hello\n"; } } }
N
cat > apache.conf <<N
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
ServerName localhost
Listen 127.0.0.1:9002
User nobody
Group nogroup
PidFile $work/apache.pid
DefaultRuntimeDir $work
ErrorLog $work/apache.err
DocumentRoot $work/www
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile $work/cert.pem
SSLCertificateKeyFile $work/key.pem
Header always set x-id "expr=%{QUERY_STRING}"
N
mkdir www; echo hello > www/x; chmod -R a+rX www
cat > haproxy.cfg <<N
global
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:9003 ssl crt $work/both.pem alpn h2,http/1.1
  default_backend out
backend out
  server one 127.0.0.1:9100
N
cat > Caddyfile <<N
{
  admin off
  auto_https disable_redirects
}
https://localhost:9004 {
  bind 127.0.0.1
  tls $work/cert.pem $work/key.pem
  header x-id {query.id}
  respond "hello"
}
N
nginx -p "$work" -c "$work/nginx.conf" & pids+=($!)
apache2 -d "$work" -f "$work/apache.conf" -DFOREGROUND & pids+=($!)
haproxy -db -f haproxy.cfg > haproxy.log 2>&1 & pids+=($!)
HOME=$work XDG_DATA_HOME=$work XDG_CONFIG_HOME=$work caddy run --adapter caddyfile --config Caddyfile > caddy.log 2>&1 & pids+=($!)
node "$here/server.mjs" 9005 & pids+=($!)
python3 "$here/server.py" 9006 & pids+=($!)
java "$here/Server.java" 9007 & pids+=($!)
(cd "$here/peer-go" && go build -o "$work/peer-go" .)
./peer-go serve 9008 & pids+=($!)
for port in 9001 9002 9003 9004 9005 9006 9007 9008; do
  for _ in $(seq 300); do (exec 3<> /dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.2; done
done
tcpdump --immediate-mode -i lo -U -s 0 -w capture.pcap 'tcp and portrange 9001-9008' 2> dump.log & dump=$!
until grep -q 'listening on' dump.log; do sleep 0.1; done
# It answers SIGUSR1 with its counts. On loopback its socket meets each packet twice, and it keeps one; some came before its filter was in place.
counts() {
  local before
  before=$(wc -l < dump.log)
  kill -USR1 "$dump"
  until [ "$(wc -l < dump.log)" -gt "$before" ]; do sleep 0.02; done
  read -r captured received <<< "$(tail -n 1 dump.log | sed 's/[^0-9]*\([0-9]*\)[^0-9]*\([0-9]*\).*/\1 \2/')"
}
counts
early=$((received - 2 * captured))

touch keys
export SSLKEYLOGFILE=$work/keys
n=0
id() { n=$((n + 1)); id=r$n; }
ask() { curl -sk -o /dev/null --max-time 10 -w '%{http_code}\n' "$@"; }
for port in 9001 9002 9003 9004 9005 9006 9007 9008; do
  for version in 1.2 1.3; do
    for alpn in --http1.1 --http2; do
      # Two calls on one connection, then one on a connection of its own.
      id; a=$id; id; b=$id; id; c=$id
      ask $alpn --tlsv$version --tls-max $version "https://localhost:$port/x?id=$a" "https://localhost:$port/x?id=$b" --next -k -o /dev/null -w '%{http_code}\n' $alpn --tlsv$version --tls-max $version -H 'Connection: close' "https://localhost:$port/x?id=$c"  > /dev/null
    done
  done
done
for suite in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-ECDSA-AES128-CCM ECDHE-ECDSA-AES256-CCM ECDHE-ECDSA-AES128-CCM8 ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA384; do
  id; ask --http1.1 --tls-max 1.2 --ciphers $suite "https://localhost:9001/x?id=$id" > /dev/null
done
for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
  id; ask --http1.1 --tls13-ciphers $suite "https://localhost:9001/x?id=$id" > /dev/null
done
# Other clients: one request to each server.
for port in 9001 9002 9003 9004 9005 9006 9007 9008; do
  id; python3 "$here/client.py" "https://localhost:$port/x?id=$id" "$work/keys" > /dev/null
  id; NODE_TLS_REJECT_UNAUTHORIZED=0 node --no-warnings --tls-keylog="$work/keys" "$here/client.mjs" "https://localhost:$port/x?id=$id" > /dev/null
  id; ./peer-go get "https://localhost:$port/x?id=$id" "$work/keys" > /dev/null
done
for _ in $(seq 500); do counts; [ $((received - 2 * captured)) -le "$early" ] && break; sleep 0.02; done
kill "$dump"; wait "$dump" 2> /dev/null
echo "$n"
