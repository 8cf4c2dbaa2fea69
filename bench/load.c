/*
 * Paced HTTP/1.1 load: what wrk lacks. `load PORTS CONNECTIONS RATE SECONDS REQUESTS`
 *
 * PORTS        of 127.0.0.1, comma-separated; connection i goes to the i-th of them, in turn
 * RATE         calls a second over all connections; 0: as fast as the answers come (closed loop)
 * REQUESTS     file of request heads, each ended by NUL and lacking the request id and the empty line
 *
 * Every connection has one call at a time. A call that is due while none is free is sent as soon as one is: its latency
 * counts from when it was due, so a stall of the server shows in every call that it delayed. At the end all answers are
 * awaited, so `completed` is exactly what the server answered. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX 128
#define TEMPLATES_MAX 64
#define HEAD_MAX 16384
#define READ_MAX 262144
#define EVENTS_MAX 512
/* How often it looks whether calls are due: at 50,000 a second, ten at a time. */
#define TICK_NS 200000
/* Answers that do not come within this time after the last call are given up. */
#define LAST_ANSWERS_NS 5000000000ull
/* Latencies in steps of 10 us up to 1 s. */
#define LATENCY_STEP_NS 10000
#define LATENCY_STEPS 100000

struct connection {
	int fd;
	bool busy;
	/* Bytes of the body that are still to come; -1: the head is not complete. */
	long body;
	size_t head_bytes;
	uint64_t due;
	char *head;
};

static char *templates[TEMPLATES_MAX];
static size_t template_bytes[TEMPLATES_MAX];
static size_t template_count;
static struct connection *connections;
/* Free connections in a circle: each gets its turn, so that 1,000 connections are 1,000 that talk. */
static uint32_t *idle;
static size_t idle_first, idle_count, connection_count;
static uint64_t sent, completed, errors;
static uint32_t latencies[LATENCY_STEPS];
static uint64_t latency_count;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void read_templates(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;
	ssize_t length;
	if (!file)
		die(path);
	while (template_count < TEMPLATES_MAX && (length = getdelim(&text, &room, '\0', file)) > 1) {
		templates[template_count] = text;
		template_bytes[template_count++] = (size_t)length - 1;
		text = NULL;
		room = 0;
	}
	fclose(file);
	if (template_count == 0) {
		fprintf(stderr, "%s: no requests\n", path);
		exit(1);
	}
}

static void drop(struct connection *c)
{
	errors += c->busy;
	close(c->fd);
	c->fd = -1;
	c->busy = false;
}

static void set_idle(uint32_t index)
{
	idle[(idle_first + idle_count++) % connection_count] = index;
}

static void send_call(uint32_t index, uint64_t due)
{
	struct connection *c = &connections[index];
	size_t which = sent % template_count;
	char message[HEAD_MAX];
	size_t length = template_bytes[which];
	memcpy(message, templates[which], length);
	length += (size_t)sprintf(message + length, "%08x-%08llx-4c1e-9f\r\n\r\n", (unsigned)getpid(), (unsigned long long)sent);
	c->busy = true;
	c->body = -1;
	c->head_bytes = 0;
	c->due = due;
	sent++;
	/* A head is far smaller than a socket's buffer, which is empty: the answer to the call before has come. */
	if (send(c->fd, message, length, MSG_NOSIGNAL) != (ssize_t)length)
		drop(c);
}

static void answered(uint32_t index)
{
	struct connection *c = &connections[index];
	uint64_t step = (now_ns() - c->due) / LATENCY_STEP_NS;
	latencies[step < LATENCY_STEPS ? step : LATENCY_STEPS - 1]++;
	latency_count++;
	completed++;
	c->busy = false;
	set_idle(index);
}

/* Length of the body by Content-Length; -1: there is none, which no server of the bench does. */
static long body_length(const char *head, size_t length)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = memmem(head, length, name, sizeof(name) - 1);
	return at ? atol(at + sizeof(name) - 1) : -1;
}

static void receive(uint32_t index)
{
	static char buffer[READ_MAX];
	struct connection *c = &connections[index];
	ssize_t got = recv(c->fd, buffer, sizeof(buffer), 0);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || !c->busy) {
		drop(c);
		return;
	}
	if (c->body < 0) {
		size_t take = (size_t)got < HEAD_MAX - c->head_bytes ? (size_t)got : HEAD_MAX - c->head_bytes;
		memcpy(c->head + c->head_bytes, buffer, take);
		size_t held = c->head_bytes + take;
		char *end = memmem(c->head, held, "\r\n\r\n", 4);
		if (!end) {
			c->head_bytes = held;
			if (held == HEAD_MAX)
				drop(c);
			return;
		}
		size_t head = (size_t)(end - c->head) + 4;
		long body = body_length(c->head, head);
		if (body < 0 || memcmp(c->head, "HTTP/1.1 2", 10) != 0) {
			drop(c);
			return;
		}
		c->body = body + (long)head - (long)c->head_bytes;
	}
	c->body -= got;
	if (c->body < 0)
		drop(c);
	else if (c->body == 0)
		answered(index);
}

static uint64_t percentile_us(double share)
{
	uint64_t below = 0, wanted = (uint64_t)(share * (double)latency_count);
	for (size_t i = 0; i < LATENCY_STEPS; i++) {
		below += latencies[i];
		if (below > wanted)
			return i * (LATENCY_STEP_NS / 1000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint16_t ports[PORTS_MAX];
	size_t port_count = 0;
	if (argc != 6) {
		fprintf(stderr, "usage: load PORTS CONNECTIONS RATE SECONDS REQUESTS\n");
		return 2;
	}
	for (char *p = strtok(argv[1], ","); p && port_count < PORTS_MAX; p = strtok(NULL, ","))
		ports[port_count++] = (uint16_t)atoi(p);
	uint32_t count = (uint32_t)atoi(argv[2]);
	connection_count = count;
	double rate = atof(argv[3]), seconds = atof(argv[4]);
	read_templates(argv[5]);

	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	connections = calloc(count, sizeof(*connections));
	idle = calloc(count, sizeof(*idle));
	int poll = epoll_create1(0);
	if (!connections || !idle || poll < 0)
		die("epoll_create1");
	for (uint32_t i = 0; i < count; i++) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(ports[i % port_count]), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
		int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0)
			die("socket");
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			die("connect");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		fcntl(fd, F_SETFL, O_NONBLOCK);
		connections[i].fd = fd;
		connections[i].head = malloc(HEAD_MAX);
		epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
		set_idle(i);
	}

	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
	uint64_t wanted = rate > 0 ? (uint64_t)(rate * seconds) : UINT64_MAX;
	struct epoll_event events[EVENTS_MAX];
	for (;;) {
		uint64_t due_now = rate > 0 ? (uint64_t)((double)(now - start) * rate / 1e9) + 1 : UINT64_MAX;
		if (due_now > wanted)
			due_now = wanted;
		while (idle_count > 0 && sent < due_now && (rate > 0 || now < end)) {
			uint64_t due = rate > 0 ? start + (uint64_t)((double)sent * 1e9 / rate) : now;
			uint32_t index = idle[idle_first];
			idle_first = (idle_first + 1) % connection_count;
			idle_count--;
			if (connections[index].fd >= 0)
				send_call(index, due);
		}
		bool over = (rate > 0 && sent >= wanted) || now >= end + (rate > 0 ? LAST_ANSWERS_NS : 0);
		if (over && (completed + errors >= sent || now >= end + LAST_ANSWERS_NS))
			break;
		struct timespec tick = { .tv_sec = 0, .tv_nsec = TICK_NS };
		int n = epoll_pwait2(poll, events, EVENTS_MAX, &tick, NULL);
		if (n < 0 && errno != EINTR)
			die("epoll_pwait2");
		for (int i = 0; i < n; i++)
			if (connections[events[i].data.u32].fd >= 0)
				receive(events[i].data.u32);
		now = now_ns();
		if (errors >= count) {
			fprintf(stderr, "every connection failed\n");
			return 1;
		}
	}
	printf("{\"requests\":%llu,\"sent\":%llu,\"errors\":%llu,\"duration_us\":%llu,\"p50_us\":%llu,\"p99_us\":%llu}\n",
		(unsigned long long)completed, (unsigned long long)sent, (unsigned long long)errors,
		(unsigned long long)((now - start) / 1000), (unsigned long long)percentile_us(0.5), (unsigned long long)percentile_us(0.99));
	return 0;
}
