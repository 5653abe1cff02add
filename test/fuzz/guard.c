/*
 * guard.c
 *		Running the importer's code many times in one process; see guard.h.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "guard.h"
#include "import/memory.h"
#include "import/refusal.h"

#define MAX_BLOCKS		65536
#define REFUSAL_SIZE	8192

static bool watching = false;
static jmp_buf way_back;
static void *blocks[MAX_BLOCKS];	/* what the run has and did not give back */
static uint32_t num_blocks;
static size_t bytes_in_use;
static uint64_t allocations;
static GuardMemory behaviour;
static char refusal_line[REFUSAL_SIZE];

extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t count, size_t size);
extern void *__real_realloc(void *block, size_t size);
extern void __real_free(void *block);
extern void __real__exit(int status) __attribute__((noreturn));
extern void *__real_region_get(size_t count, size_t size);

/* The linker sends the program's calls here. */
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t count, size_t size);
extern void *__wrap_realloc(void *block, size_t size);
extern void __wrap_free(void *block);
extern void __wrap__exit(int status) __attribute__((noreturn));
extern void *__wrap_region_get(size_t count, size_t size);
extern void *__wrap_region_get_zero(size_t count, size_t size);
extern char *__wrap_region_get_string(const char *bytes, size_t length);

/* Whether the next allocation is to fail; counts it. */
static bool
fails(size_t size)
{
	if (!watching)
		return false;
	if (size > GUARD_MEMORY_LIMIT || bytes_in_use > GUARD_MEMORY_LIMIT - size)
	{
		watching = false;
		fuzz_fail("more than %zu MB of memory", GUARD_MEMORY_LIMIT >> 20);
	}
	return ++allocations == behaviour.failing;
}

/* Remember a block of the run. */
static void *
remember(void *block)
{
	if (watching && block != NULL)
	{
		if (num_blocks == MAX_BLOCKS)
		{
			watching = false;
			fuzz_fail("more than %d blocks of memory", MAX_BLOCKS);
		}
		blocks[num_blocks++] = block;
		bytes_in_use += malloc_usable_size(block);
	}
	return block;
}

/* Forget a block that is about to be given back; the latest are found first. */
static void
forget(void *block)
{
	for (uint32_t i = num_blocks; i > 0; i--)
	{
		if (blocks[i - 1] == block)
		{
			blocks[i - 1] = blocks[--num_blocks];
			bytes_in_use -= malloc_usable_size(block);
			return;
		}
	}
}

void *
__wrap_malloc(size_t size)
{
	return fails(size) ? NULL : remember(__real_malloc(size));
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails(count * size) ? NULL : remember(__real_calloc(count, size));
}

/* Always moves, so that pointers to the old place are found out. */
void *
__wrap_realloc(void *block, size_t size)
{
	void	   *moved;
	size_t		old_size;

	if (!watching)
		return __real_realloc(block, size);
	if (fails(size))
		return NULL;
	moved = remember(__real_malloc(size));
	if (block != NULL && moved != NULL)
	{
		old_size = malloc_usable_size(block);
		memcpy(moved, block, old_size < size ? old_size : size);
		__wrap_free(block);
	}
	return moved;
}

void
__wrap_free(void *block)
{
	if (watching && block != NULL)
		forget(block);
	__real_free(block);
}

/* An object of the region, with a block of its own while there is room. */
void *
__wrap_region_get(size_t count, size_t size)
{
	void	   *block;

	if (!watching || behaviour.has_region || num_blocks > MAX_BLOCKS / 2 ||
		(size != 0 && count > GUARD_MEMORY_LIMIT / size))
		return __real_region_get(count, size);
	block = __wrap_malloc(count * size);
	if (block == NULL)
		refuse(REFUSE_LIMIT, NULL, "out of memory");
	return block;
}

/* The same, all zero. */
void *
__wrap_region_get_zero(size_t count, size_t size)
{
	void	   *block = __wrap_region_get(count, size);

	memset(block, 0, count * size);
	return block;
}

/* The same with a string. */
char *
__wrap_region_get_string(const char *bytes, size_t length)
{
	char	   *block = __wrap_region_get(length + 1, 1);

	memcpy(block, bytes, length);
	block[length] = '\0';
	return block;
}

/* The end of a refusal. */
void
__wrap__exit(int status)
{
	if (!watching)
		__real__exit(status);
	longjmp(way_back, 1);
}

/* See guard.h. */
void *
guard_malloc(size_t size)
{
	void	   *block = __real_malloc(size);

	if (block == NULL && size > 0)
		abort();
	return block;
}

/* See guard.h. */
uint64_t
guard_allocations(void)
{
	return allocations;
}

/* See guard.h. */
bool
guard_run(void (*work) (void *), void *argument, GuardMemory memory, const char **refusal)
{
	static FILE *stream;
	volatile bool is_done = false;

	if (stream == NULL)
	{
		stream = fmemopen(refusal_line, sizeof(refusal_line), "w");
		if (stream == NULL)
			fuzz_fail("cannot open a stream for refusals");
		refusal_open(stream, true);
	}
	rewind(stream);
	memset(refusal_line, 0, sizeof(refusal_line));
	num_blocks = 0;
	bytes_in_use = 0;
	allocations = 0;
	behaviour = memory;

	watching = true;
	if (setjmp(way_back) == 0)
	{
		work(argument);
		is_done = true;
	}
	region_free();
	watching = false;
	while (num_blocks > 0)
		__real_free(blocks[--num_blocks]);
	*refusal = refusal_line;
	return is_done;
}
