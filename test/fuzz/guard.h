/*
 * guard.h
 *		Running the importer's code many times in one process.
 *
 * The importer ends its process with every refusal and gives no memory back.
 * Under guard its _exit() comes back here, its memory is counted and freed, and
 * an allocation can be made to fail.  What it takes from its region is given a
 * block of its own in half of the runs, so that a sanitizer sees a step beyond
 * its end; in the others the region itself is tried.  The program is linked
 * with --wrap=malloc and so on; outside of guard_run() those change nothing.
 */
#ifndef FUZZ_GUARD_H
#define FUZZ_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_MEMORY_LIMIT	((size_t) 256 << 20)

/* How a run's memory behaves. */
typedef struct GuardMemory
{
	bool		has_region;		/* false: a block for each object */
	uint64_t	failing;		/* this allocation, from 1, gives NULL; 0: none */
} GuardMemory;

/*
 * Run work(argument).  False when it was ended by a refusal, which *refusal is
 * then: one line of JSON.  More memory than the limit is a failure of the
 * target.
 */
extern bool guard_run(void (*work) (void *), void *argument, GuardMemory memory,
					  const char **refusal);

/* Number of allocations of the last run. */
extern uint64_t guard_allocations(void);

/* Memory for the target itself: neither counted nor made to fail. */
extern void *guard_malloc(size_t size);

#endif							/* FUZZ_GUARD_H */
