/* Many threads on clones of one context, and many children of one process.
 *
 * Usage: threads DUMP [ROUNDS]
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <libkdumpfile/kdumpfile.h>

#define THREADS 8
#define PAGES 64
#define PAGE 4096

static kdump_addr_t pages[PAGES];
static unsigned char right[PAGES][PAGE];
static unsigned rounds = 2000;

struct job {
	kdump_ctx_t *ctx;
	unsigned seed, wrong;
};

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Reads, and sometimes does something else that a debugger may do. */
static void *work(void *data)
{
	struct job *job = (struct job *)data;
	unsigned char page[PAGE];
	kdump_attr_iter_t iter;
	kdump_attr_ref_t ref;
	kdump_attr_t attr;
	kdump_num_t num;
	unsigned i;

	for (i = 0; i < rounds; ++i) {
		unsigned at = next(&job->seed) % PAGES;
		size_t length = PAGE;
		kdump_status status = kdump_read(job->ctx, KDUMP_MACHPHYSADDR,
						 pages[at], page, &length);

		if (status == KDUMP_ERR_BUSY)
			continue;
		if (status != KDUMP_OK || memcmp(page, right[at], PAGE))
			++job->wrong;
		if (i % 64 == 0) {
			kdump_ctx_t *clone = kdump_clone(job->ctx, i & 64 ? KDUMP_CLONE_XLAT : 0);

			length = PAGE;
			if (kdump_read(clone, KDUMP_MACHPHYSADDR, pages[at],
				       page, &length) == KDUMP_OK &&
			    memcmp(page, right[at], PAGE))
				++job->wrong;
			kdump_free(clone);
		} else if (i % 64 == 1) {
			kdump_set_number_attr(job->ctx, "cache.size", 16 + next(&job->seed) % 64);
		} else if (i % 64 == 2) {
			if (kdump_get_number_attr(job->ctx, "max_pfn", &num) != KDUMP_OK)
				++job->wrong;
		} else if (i % 64 == 3) {
			if (kdump_attr_iter_start(job->ctx, "arch", &iter) != KDUMP_OK)
				++job->wrong;
			while (iter.key && kdump_attr_iter_next(job->ctx, &iter) == KDUMP_OK)
				;
			kdump_attr_iter_end(job->ctx, &iter);
		} else if (i % 64 == 4) {
			kdump_addr_t bit = 0;

			if (kdump_attr_ref(job->ctx, "file.pagemap", &ref) != KDUMP_OK ||
			    kdump_attr_ref_get(job->ctx, &ref, &attr) != KDUMP_OK ||
			    kdump_bmp_find_set(attr.val.bitmap, &bit) != KDUMP_OK)
				++job->wrong;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	kdump_ctx_t *ctx = kdump_new();
	struct job jobs[THREADS];
	pthread_t threads[THREADS];
	kdump_addr_t pfn = 0;
	unsigned wrong = 0, i;
	kdump_attr_t attr;
	int fd;

	if (argc < 2)
		return 2;
	if (argc > 2)
		rounds = strtoul(argv[2], NULL, 0);
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || kdump_open_fd(ctx, fd) != KDUMP_OK) {
		fprintf(stderr, "%s\n", kdump_get_err(ctx));
		return 2;
	}
	kdump_set_number_attr(ctx, "cache.size", 32);
	if (kdump_get_attr(ctx, "file.pagemap", &attr) != KDUMP_OK)
		return 2;
	for (i = 0; i < PAGES; ++i, pfn += 37) {
		size_t length = PAGE;

		if (kdump_bmp_find_set(attr.val.bitmap, &pfn) != KDUMP_OK)
			return 2;
		pages[i] = pfn << 12;
		if (kdump_read(ctx, KDUMP_MACHPHYSADDR, pages[i], right[i], &length) != KDUMP_OK)
			return 2;
	}

	for (i = 0; i < THREADS; ++i) {
		pid_t child = fork();

		if (child == 0) {
			struct job job = { ctx, i, 0 };

			work(&job);
			_exit(job.wrong ? 1 : 0);
		}
	}
	for (i = 0; i < THREADS; ++i) {
		int status;

		if (wait(&status) < 0 || status)
			++wrong;
	}
	printf("%u children, %u wrong\n", THREADS, wrong);

	for (i = 0; i < THREADS; ++i) {
		jobs[i].ctx = kdump_clone(ctx, i & 1 ? KDUMP_CLONE_XLAT : 0);
		jobs[i].seed = i;
		jobs[i].wrong = 0;
		pthread_create(&threads[i], NULL, work, &jobs[i]);
	}
	kdump_free(ctx);
	for (i = 0; i < THREADS; ++i) {
		pthread_join(threads[i], NULL);
		wrong += jobs[i].wrong;
		kdump_free(jobs[i].ctx);
	}
	printf("%u threads of %u rounds, %u wrong in all\n", THREADS, rounds, wrong);
	close(fd);
	return wrong ? 1 : 0;
}
