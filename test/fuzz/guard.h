/*
 * guard.h
 *		Running the importer's code many times in one process.
 *
 * The importer ends its process with every refusal and gives no memory back.
 * Under guard its _exit() comes back here, its memory is counted and freed, and
 * an allocation can be made to fail.  The program is linked with
 * --wrap=malloc and so on; outside of guard_run() those change nothing.
 */
#ifndef FUZZ_GUARD_H
#define FUZZ_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_MEMORY_LIMIT	((size_t) 256 << 20)

/*
 * Run work(argument).  False when it was ended by a refusal, which *refusal is
 * then: one line of JSON.  With failing > 0 that allocation, counted from 1,
 * gives NULL.  More memory than the limit is a failure of the target.
 */
extern bool guard_run(void (*work) (void *), void *argument, uint64_t failing,
					  const char **refusal);

/* Number of allocations of the last run. */
extern uint64_t guard_allocations(void);

#endif							/* FUZZ_GUARD_H */
