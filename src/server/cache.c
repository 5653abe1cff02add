/*
 * cache.c
 *		Forest images in shared memory: one copy of each distinct image for the
 *		whole server, whatever the number of connections, versions and databases.
 *
 * An image stands with its plan behind it, the forest laid out for this
 * processor: that is made here, from the image that has been checked, and
 * nowhere else; and all kernels that may score with the two are proved here.  A
 * plan is a convenience: where it has no room, or some kernel gives other bits
 * with it than the reference, the image is scored without.
 *
 * The arena is one block of main shared memory, so an image has the same
 * address in every process.  An entry is a slot in a fixed array; the entries
 * in use, in the order of their place in the arena, are listed in `order`, and
 * the gaps between neighbours are the free memory.
 *
 * Locking.  `lock` protects everything but the atomics of an entry: shared to
 * look an image up by its hash, exclusive to add or evict.  It is never held
 * across I/O, allocation of backend memory, or anything that can raise an
 * error.  An image is checked, its plan made and both proved in private memory; they
 * are copied, without the lock, between reserving their place and publishing the
 * hash, where nothing can fail.
 *
 * Who makes an image ready has a heavyweight lock on its hash, in this database; see
 * await_loader().
 *
 * Reclaiming.  Who reads an image holds a pin (for the rest of its transaction;
 * see version.c), and only an entry without pins is evicted, the one least
 * recently used first.  Pinning takes no lock: an entry's `state` is one
 * 64-bit word, the tenure in its high half and the number of pins in its low
 * half.  To pin is to add one and then look whether the tenure is still the
 * expected one; to evict is to compare-and-swap "this tenure, no pins" with
 * "next tenure, no pins".  Whichever comes first, the other one sees it.
 *
 * After a crash of any process the postmaster makes all of this anew, so no
 * pin outlives its holder.
 */
#include "postgres.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "../forest/forest.h"
#include "cache.h"
#include "compat.h"
#include "guc.h"

#define CACHE_ENTRIES		1024
#define CACHE_ALIGN(size)	TYPEALIGN(64, size)
#define LATELY_MS			60000	/* see publish() */
#define LOADING_POLL_US		2000	/* see await_loader() */
#define LOADING_PATIENCE_US	10000000	/* see await_loader() */
#define LOADING_LOCK		0x5052	/* class of an advisory lock; SQL's functions take 1 and 2 */

#define STATE(tenure, pins)	(((uint64) (tenure) << 32) | (pins))
#define STATE_TENURE(state)	((uint32) ((state) >> 32))
#define STATE_PINS(state)	((uint32) (state))

typedef struct CacheEntry
{
	pg_atomic_uint64 state;		/* tenure and pins; see above */
	pg_atomic_uint64 last_used; /* TimestampTz of the last pin */
	/* the rest is protected by the lock */
	Size		offset;			/* of the image in the arena */
	Size		image_size;
	Size		plan_size;		/* 0: no plan */
	Size		left_out;		/* of the plan that there was no room for; 0: none */
	ForestKernel refused;		/* see CacheClaim */
	bool		published;		/* the image may be found, by its hash */
	TimestampTz evicted_at;		/* out of use: when the image of this hash had to make
								 * room; 0: it did not */
	TimestampTz loaded_at;
	uint8		hash[IMAGE_HASH_LENGTH];
} CacheEntry;

typedef struct CacheShared
{
	LWLock	   *lock;
	Size		arena_size;
	uint64		loads;
	uint64		evictions;
	int			used;			/* entries listed in order */
	uint16		order[CACHE_ENTRIES];	/* by offset; the unused ones follow, the last used last */
	CacheEntry	entries[CACHE_ENTRIES];
} CacheShared;

static CacheShared *cache = NULL;
static char *arena = NULL;

/* An image that has been checked and its plan, both proved, in private memory. */
typedef struct Loading
{
	void	   *image;
	Size		image_size;
	void	   *plan;
	Size		plan_size;		/* 0: no plan */
	ForestKernel refused;		/* see CacheClaim */
} Loading;

/* Bytes of an image and of what stands before its plan. */
static inline Size
plan_distance(Size image_size)
{
	return CACHE_ALIGN(image_size);
}

/* Bytes that an entry takes in the arena. */
static inline Size
entry_size(const CacheEntry *entry)
{
	return plan_distance(entry->image_size) + entry->plan_size;
}

static Size
arena_size(void)
{
	return (Size) guc_cache_size * 1024;
}

/* Ask for the memory and the lock; runs in the postmaster. */
void
cache_shmem_request(void)
{
	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof(CacheShared)),
									add_size(arena_size(), 128)));
	RequestNamedLWLockTranche("PgRiskCache", 1);
}

/* Make, or find, the shared structures. */
void
cache_shmem_startup(void)
{
	bool		found;
	bool		arena_found;

	cache = ShmemInitStruct("pg_risk cache", sizeof(CacheShared), &found);
	arena = ShmemInitStruct("pg_risk arena", arena_size() + 64, &arena_found);
	arena = (char *) CACHE_ALIGN((uintptr_t) arena);
	if (!found)
	{
		memset(cache, 0, sizeof(CacheShared));
		cache->lock = &(GetNamedLWLockTranche("PgRiskCache"))->lock;
		cache->arena_size = arena_size();
		for (int i = 0; i < CACHE_ENTRIES; i++)
		{
			cache->order[i] = i;
			pg_atomic_init_u64(&cache->entries[i].state, STATE(1, 0));
			pg_atomic_init_u64(&cache->entries[i].last_used, 0);
		}
	}
}

/* Note the moment of use: the order of eviction, and shown to users. */
static inline void
touch(CacheEntry *entry)
{
	pg_atomic_write_u64(&entry->last_used,
						(uint64) GetCurrentTransactionStartTimestamp());
}

/*
 * Pin the image of a claim made earlier.  False, and nothing is held, when it
 * has been evicted since.
 */
bool
cache_pin(CacheClaim *claim)
{
	CacheEntry *entry = &cache->entries[claim->slot];

	if (STATE_TENURE(pg_atomic_fetch_add_u64(&entry->state, 1)) != claim->tenure)
	{
		pg_atomic_fetch_sub_u64(&entry->state, 1);
		return false;
	}
	touch(entry);
	return true;
}

void
cache_unpin(CacheClaim *claim)
{
	pg_atomic_fetch_sub_u64(&cache->entries[claim->slot].state, 1);
}

/* Let a claim be on an entry, in the tenure that this state tells. */
static void
make_claim(CacheClaim *claim, int slot, uint64 state)
{
	CacheEntry *entry = &cache->entries[slot];

	claim->slot = slot;
	claim->tenure = STATE_TENURE(state);
	claim->image = arena + entry->offset;
	claim->plan = entry->plan_size == 0 ? NULL :
		arena + entry->offset + plan_distance(entry->image_size);
	claim->refused = entry->refused;
	touch(entry);
}

/* Pin the image of a hash.  The lock is held, so it cannot go away. */
static bool
find_locked(const uint8 *hash, CacheClaim *claim)
{
	for (int i = 0; i < cache->used; i++)
	{
		int			slot = cache->order[i];
		CacheEntry *entry = &cache->entries[slot];

		if (entry->published && memcmp(entry->hash, hash, IMAGE_HASH_LENGTH) == 0)
		{
			make_claim(claim, slot, pg_atomic_fetch_add_u64(&entry->state, 1));
			return true;
		}
	}
	return false;
}

/* Find an image by its hash and pin it.  False when it is not in the cache. */
bool
cache_find(const uint8 *hash, CacheClaim *claim)
{
	bool		found;

	LWLockAcquire(cache->lock, LW_SHARED);
	found = find_locked(hash, claim);
	LWLockRelease(cache->lock);
	return found;
}

/* Take entry number `position` of the order out of use, if nobody has it pinned. */
static bool
release_entry(int position, TimestampTz evicted_at)
{
	uint16		slot = cache->order[position];
	CacheEntry *entry = &cache->entries[slot];
	uint64		state = pg_atomic_read_u64(&entry->state);

	if (STATE_PINS(state) != 0 ||
		!pg_atomic_compare_exchange_u64(&entry->state, &state,
										STATE(STATE_TENURE(state) + 1, 0)))
		return false;

	entry->published = false;
	entry->evicted_at = evicted_at;
	memmove(&cache->order[position], &cache->order[position + 1],
			(CACHE_ENTRIES - position - 1) * sizeof(uint16));
	cache->order[CACHE_ENTRIES - 1] = slot;
	cache->used--;
	return true;
}

/* Evict the least recently used image that nobody reads. */
static bool
evict_one(void)
{
	int			victim = -1;
	uint64		oldest = 0;

	for (int i = 0; i < cache->used; i++)
	{
		CacheEntry *entry = &cache->entries[cache->order[i]];
		uint64		last_used = pg_atomic_read_u64(&entry->last_used);

		if (STATE_PINS(pg_atomic_read_u64(&entry->state)) == 0 &&
			(victim < 0 || last_used < oldest))
		{
			victim = i;
			oldest = last_used;
		}
	}
	/* Somebody may pin the victim at this moment; then look for another. */
	if (victim < 0)
		return false;
	if (release_entry(victim, GetCurrentTimestamp()))
		cache->evictions++;
	return true;
}

/* Had an image, or with NULL any one, to leave a short time ago? */
static bool
left_lately(const uint8 *hash)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = cache->used; i < CACHE_ENTRIES; i++)
	{
		const CacheEntry *entry = &cache->entries[cache->order[i]];

		if (entry->evicted_at != 0 && (!hash || memcmp(entry->hash, hash, IMAGE_HASH_LENGTH) == 0) &&
			!TimestampDifferenceExceeds(entry->evicted_at, now, LATELY_MS))
			return true;
	}
	return false;
}

/*
 * Where an image of this size fits: the position in the order at which its
 * entry would stand, and its offset.  False when there is no such gap.  What
 * one entry has, or none, counts as free.
 */
static bool
find_gap(Size size, const CacheEntry *leaving, int *position, Size *offset)
{
	Size		end = 0;

	if (cache->used == CACHE_ENTRIES)
		return false;
	for (int i = 0; i <= cache->used; i++)
	{
		CacheEntry *next = i < cache->used ? &cache->entries[cache->order[i]] : NULL;
		Size		limit = next ? next->offset : cache->arena_size;

		if (next && next == leaving)
			continue;
		if (limit - end >= size)
		{
			*position = i;
			*offset = end;
			return true;
		}
		if (next)
			end = CACHE_ALIGN(next->offset + entry_size(next));
	}
	return false;
}

/*
 * Reserve room for an image, and for its plan or none: an entry that holds one pin,
 * ours, and cannot be found yet.  False when the images in use leave no room, or
 * none may be evicted.
 */
static bool
reserve_locked(const Loading *loading, Size plan_size, bool may_evict, CacheClaim *claim)
{
	Size		size = plan_distance(loading->image_size) + plan_size;
	int			position;
	Size		offset;
	uint16		slot;
	CacheEntry *entry;

	if (size > cache->arena_size)
		return false;
	while (!find_gap(size, NULL, &position, &offset))
	{
		if (!may_evict || !evict_one())
			return false;
	}

	slot = cache->order[cache->used];
	memmove(&cache->order[position + 1], &cache->order[position],
			(cache->used - position) * sizeof(uint16));
	cache->order[position] = slot;
	cache->used++;

	entry = &cache->entries[slot];
	entry->offset = offset;
	entry->image_size = loading->image_size;
	entry->plan_size = plan_size;
	entry->left_out = loading->plan_size - plan_size;
	entry->refused = loading->refused;
	entry->published = false;
	make_claim(claim, slot, pg_atomic_fetch_add_u64(&entry->state, 1));
	return true;
}

/* Give a reserved place back. */
static void
abandon_locked(CacheClaim *claim)
{
	cache_unpin(claim);
	for (int i = 0; i < cache->used; i++)
	{
		if (cache->order[i] == claim->slot)
		{
			(void) release_entry(i, 0);
			return;
		}
	}
}

/* Say why an image of this size has no room. */
static void
explain_no_room(Problem *problem, Size size)
{
	Size		in_use = 0;
	int			images = 0;

	LWLockAcquire(cache->lock, LW_SHARED);
	for (int i = 0; i < cache->used; i++)
	{
		CacheEntry *entry = &cache->entries[cache->order[i]];

		if (STATE_PINS(pg_atomic_read_u64(&entry->state)) > 0)
		{
			images++;
			in_use += entry_size(entry);
		}
	}
	LWLockRelease(cache->lock);

	problem_set(problem, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
				psprintf("no room for a model of %zu kB in shared memory", (size + 1023) / 1024),
				"Increase pg_risk.cache_size and restart the server.");
	problem->detail = psprintf("pg_risk.cache_size is %d kB; transactions that are running use %d models of %zu kB together.",
							   guc_cache_size, images, (in_use + 1023) / 1024);
}

/* Private memory aligned as images and plans are. */
static void *
allocate_aligned(Size size, int flags)
{
	char	   *memory = palloc_extended(size + CACHE_ALIGN(1), MCXT_ALLOC_HUGE | flags);

	return memory ? (void *) CACHE_ALIGN((uintptr_t) memory) : NULL;
}

static void
check_for_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* Prove all kernels of a forest with its plan; returns one that is wrong, see forest.h. */
static ForestKernel
prove(const Forest *forest)
{
	return forest_prove(forest, check_for_interrupts, allocate_aligned(forest_proof_room(forest), 0));
}

/*
 * Check an image, in a copy that nobody else can change, make its plan, and prove
 * both.  Returns what is wrong with the image, NULL if nothing is.
 */
static const char *
prepare(const void *image, Size size, Loading *loading)
{
	const char *damage;
	Forest		forest;
	ForestKernel wrong;
	Size		room;

	loading->image = allocate_aligned(size, 0);
	loading->image_size = size;
	memcpy(loading->image, image, size);
	damage = forest_check(loading->image, size);
	if (damage)
		return damage;

	forest_open(&forest, loading->image);
	room = forest_plan_room(&forest, FOREST_KERNEL_AUTO);
	loading->plan = room > 0 ? allocate_aligned(room, MCXT_ALLOC_NO_OOM) : NULL;
	loading->plan_size = loading->plan ? forest_plan_build(&forest, FOREST_KERNEL_AUTO, loading->plan) : 0;
	forest_use_plan(&forest, loading->plan_size ? loading->plan : NULL);
	wrong = prove(&forest);
	if (wrong != FOREST_KERNEL_AUTO && wrong != FOREST_KERNEL_WALK)
	{
		loading->plan_size = 0;
		loading->refused = wrong;
		forest_use_plan(&forest, NULL);
		wrong = prove(&forest);
	}
	return wrong == FOREST_KERNEL_AUTO ? NULL : "its margins are not those of the reference";
}

/*
 * Put into the arena what has been prepared, and pin it; another process that
 * brings the same image at the same time is let win.  False: there is no room.
 *
 * An image that comes back soon after it had to leave evicts others for itself, but
 * not for its plan: models that fit without their plans would else evict each
 * other at each use, and loading takes a thousand times as long as scoring.
 */
static bool
publish(const uint8 *hash, const Loading *loading, CacheClaim *claim)
{
	CacheClaim	ours;
	bool		found;
	bool		reserved = false;

	LWLockAcquire(cache->lock, LW_EXCLUSIVE);
	found = find_locked(hash, claim);
	if (!found)
		reserved = reserve_locked(loading, loading->plan_size, !left_lately(hash), &ours) ||
			reserve_locked(loading, 0, true, &ours);
	LWLockRelease(cache->lock);
	if (!reserved)
		return found;

	memcpy(unconstify(void *, ours.image), loading->image, loading->image_size);
	if (ours.plan)
		memcpy(unconstify(void *, ours.plan), loading->plan, loading->plan_size);

	LWLockAcquire(cache->lock, LW_EXCLUSIVE);
	if (find_locked(hash, claim))
		abandon_locked(&ours);
	else
	{
		CacheEntry *entry = &cache->entries[ours.slot];

		memcpy(entry->hash, hash, IMAGE_HASH_LENGTH);
		entry->loaded_at = GetCurrentTimestamp();
		entry->published = true;
		cache->loads++;
		*claim = ours;
	}
	LWLockRelease(cache->lock);
	return true;
}

/*
 * Wait while another process of this database makes the same image ready: of many who
 * need a new one at once, one does.  lock_timeout, which is not for scores, does not see
 * it.  Returns whether the lock is ours; if not, patience is at its end: who has it may
 * wait for us, for a lock on what it reads.
 *
 * Locks of the processes of one parallel query do not conflict: each of these loads, and
 * publish() keeps what is first.
 */
static bool
await_loader(const LOCKTAG *tag)
{
	for (int waited = 0; waited < LOADING_PATIENCE_US; waited += LOADING_POLL_US)
	{
		if (LockAcquire(tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		pg_usleep(LOADING_POLL_US);
		pgstat_report_wait_end();
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* Check an image, make its plan, and publish both. */
static bool
load_image(const uint8 *hash, const void *image, Size size, CacheClaim *claim, Problem *problem)
{
	Loading		loading = {0};
	const char *damage = NULL;
	bool		published = false;

	if (size <= cache->arena_size)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk image", ALLOCSET_SMALL_SIZES);
		MemoryContext caller = MemoryContextSwitchTo(context);

		damage = prepare(image, size, &loading);
		MemoryContextSwitchTo(caller);
		published = !damage && publish(hash, &loading, claim);
		MemoryContextDelete(context);
	}
	if (damage)
		problem_set(problem, ERRCODE_DATA_CORRUPTED,
					psprintf("forest image of a model version is damaged: %s", damage),
					"Restore risk.model_versions from a backup, or register the artifact again.");
	else if (!published)
		explain_no_room(problem, size);
	return published;
}

/*
 * Bring an image into the cache, if nobody else does, and pin it.  Only who loads it
 * reads it.  The bytes are not trusted: nobody can find what has not been checked.
 *
 * Problems: those of the reader, 53400 no room, XX001 the image is damaged.
 */
bool
cache_load(const uint8 *hash, ImageReader read, const void *source, CacheClaim *claim, Problem *problem)
{
	uint32		key[2];
	LOCKTAG		tag;
	bool		locked;
	bool		there;

	memcpy(key, hash, sizeof(key));
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, key[0], key[1], LOADING_LOCK);
	locked = await_loader(&tag);
	there = cache_find(hash, claim);
	if (!there)
	{
		bytea	   *image = read(source, problem);

		if (image)
		{
			there = load_image(hash, VARDATA(image), VARSIZE(image) - VARHDRSZ, claim, problem);
			pfree(image);
		}
	}
	if (locked)
		LockRelease(&tag, ExclusiveLock, false);
	return there;
}

/*
 * Let go of images whose plans had no room, where there is room for both by now: at its
 * next use each is loaded again, while who has it pinned reads on where it is.  Not as
 * long as images make room for each other: those that come back need what is free.
 */
void
cache_release_planless(void)
{
	int			position;
	Size		offset;

	LWLockAcquire(cache->lock, LW_EXCLUSIVE);
	for (int i = cache->used - 1; i >= 0; i--)
	{
		CacheEntry *entry = &cache->entries[cache->order[i]];
		bool		in_use = STATE_PINS(pg_atomic_read_u64(&entry->state)) > 0;

		if (entry->published &&
			(entry->left_out == 0 || left_lately(NULL) ||
			 !find_gap(entry_size(entry) + entry->left_out, in_use ? NULL : entry, &position, &offset)))
			continue;
		if (entry->published && in_use)
		{
			entry->published = false;
			pg_atomic_fetch_add_u64(&entry->state, STATE(1, 0));
		}
		else
			(void) release_entry(i, 0);
	}
	LWLockRelease(cache->lock);
}

/* Evict the image of a hash.  False when it is not there, or pinned. */
static bool
evict_hash(const uint8 *hash)
{
	bool		evicted = false;

	LWLockAcquire(cache->lock, LW_EXCLUSIVE);
	for (int i = 0; i < cache->used && !evicted; i++)
	{
		CacheEntry *entry = &cache->entries[cache->order[i]];

		if (entry->published && memcmp(entry->hash, hash, IMAGE_HASH_LENGTH) == 0)
			evicted = release_entry(i, 0);
	}
	if (evicted)
		cache->evictions++;
	LWLockRelease(cache->lock);
	return evicted;
}

PG_FUNCTION_INFO_V1(risk_evict_image);
PG_FUNCTION_INFO_V1(risk_cache_entries);
PG_FUNCTION_INFO_V1(risk_cache_status);

/* risk.evict_image(image_sha256) */
Datum
risk_evict_image(PG_FUNCTION_ARGS)
{
	bytea	   *hash = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_BOOL(VARSIZE_ANY_EXHDR(hash) == IMAGE_HASH_LENGTH &&
				   evict_hash((uint8 *) VARDATA_ANY(hash)));
}

/* risk.cache_entries(): one row per image that can be found. */
Datum
risk_cache_entries(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	CacheEntry *copies = palloc(sizeof(CacheEntry) * CACHE_ENTRIES);
	int			n = 0;

	InitMaterializedSRF(fcinfo, 0);

	LWLockAcquire(cache->lock, LW_SHARED);
	for (int i = 0; i < cache->used; i++)
	{
		CacheEntry *entry = &cache->entries[cache->order[i]];

		if (entry->published)
			memcpy(&copies[n++], entry, sizeof(CacheEntry));
	}
	LWLockRelease(cache->lock);

	for (int i = 0; i < n; i++)
	{
		CacheEntry *entry = &copies[i];
		bytea	   *hash = palloc(VARHDRSZ + IMAGE_HASH_LENGTH);
		Datum		values[7];
		bool		nulls[7] = {false};

		SET_VARSIZE(hash, VARHDRSZ + IMAGE_HASH_LENGTH);
		memcpy(VARDATA(hash), entry->hash, IMAGE_HASH_LENGTH);
		values[0] = PointerGetDatum(hash);
		values[1] = Int64GetDatum((int64) entry->image_size);
		values[2] = Int64GetDatum((int64) entry->plan_size);
		values[3] = Int32GetDatum((int32) STATE_PINS(pg_atomic_read_u64(&entry->state)));
		values[4] = TimestampTzGetDatum(entry->loaded_at);
		values[5] = TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64(&entry->last_used));
		nulls[6] = entry->refused == FOREST_KERNEL_AUTO;
		values[6] = nulls[6] ? (Datum) 0 : CStringGetTextDatum(guc_kernel_name(entry->refused));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* risk.cache_status(): size and use of the arena. */
Datum
risk_cache_status(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[5];
	bool		nulls[5] = {false};
	Size		used = 0;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	LWLockAcquire(cache->lock, LW_SHARED);
	for (int i = 0; i < cache->used; i++)
		used += entry_size(&cache->entries[cache->order[i]]);
	values[0] = Int64GetDatum((int64) cache->arena_size);
	values[1] = Int64GetDatum((int64) used);
	values[2] = Int32GetDatum(cache->used);
	values[3] = Int64GetDatum((int64) cache->loads);
	values[4] = Int64GetDatum((int64) cache->evictions);
	LWLockRelease(cache->lock);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}
