/*
 * The machine's clock as a test wants it: preloaded, it adds to CLOCK_REALTIME what HEADWATER_CLOCK_FILE holds, nanoseconds as
 * a 64-bit number, which the test may change at any time. Other clocks are what they are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *ahead_ns;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
	int fd = open(HEADWATER_CLOCK_FILE, O_RDONLY | O_CLOEXEC);
	void *file = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*ahead_ns), PROT_READ, MAP_SHARED, fd, 0);

	if (file != MAP_FAILED)
		ahead_ns = file;
	if (fd >= 0)
		close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *to)
{
	int result;

	if (!real_gettime)
		real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	result = real_gettime(clock, to);
	if (!result && clock == CLOCK_REALTIME && ahead_ns) {
		int64_t ns = (int64_t)to->tv_sec * 1000000000 + to->tv_nsec + *ahead_ns;

		to->tv_sec = ns / 1000000000;
		to->tv_nsec = ns % 1000000000;
	}
	return result;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
	struct timespec now;
	int result = clock_gettime(CLOCK_REALTIME, &now);

	(void)zone;
	to->tv_sec = now.tv_sec;
	to->tv_usec = now.tv_nsec / 1000;
	return result;
}
