/*
 * cache.h
 *		Forest images in shared memory: one copy of each for the whole server.
 */
#ifndef PG_RISK_CACHE_H
#define PG_RISK_CACHE_H

#include "../forest/forest.h"
#include "problem.h"

#define IMAGE_HASH_LENGTH 32		/* SHA-256 */

/*
 * A process's claim on a cached image.  The image may be read between a
 * cache_pin() or cache_load() that succeeded and the cache_unpin().  Kept
 * afterwards, the claim is the way back to the image without a lock, for as
 * long as it has not been evicted.
 */
typedef struct CacheClaim
{
	int			slot;
	uint32		tenure;
	const void *image;
	const void *plan;			/* NULL: none */
	ForestKernel refused;		/* the kernel whose margins were wrong with the plan, which
								 * there is none for that; FOREST_KERNEL_AUTO: no such */
} CacheClaim;

/* Reads the image of a source, into the caller's memory; NULL: there is a problem. */
typedef bytea *(*ImageReader) (const void *source, Problem *problem);

extern void cache_shmem_request(void);
extern void cache_shmem_startup(void);

extern bool cache_pin(CacheClaim *claim);
extern void cache_unpin(CacheClaim *claim);
extern bool cache_find(const uint8 *hash, CacheClaim *claim);
extern bool cache_load(const uint8 *hash, ImageReader read, const void *source,
					   CacheClaim *claim, Problem *problem);
extern void cache_release_planless(void);

#endif							/* PG_RISK_CACHE_H */
