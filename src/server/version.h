/*
 * version.h
 *		What a process remembers about the versions it scores with.
 */
#ifndef PG_RISK_VERSION_H
#define PG_RISK_VERSION_H

#include "../forest/forest.h"
#include "cache.h"

/* Codes of a categorical feature's categories. */
typedef struct CategoryMap CategoryMap;

typedef struct VersionFeature
{
	char	   *name;			/* NULL: the version has no names */
	bool		categorical;
	CategoryMap *categories;	/* NULL: values are codes */
} VersionFeature;

/*
 * A version, with its forest in shared memory.  Good for the transaction in
 * which version_use() returned it.
 */
typedef struct Version
{
	int64		id;
	char	   *model;
	char	   *name;
	Forest		forest;
	int			num_features;
	VersionFeature *features;	/* [num_features] */
	bool		has_names;
	struct Binding *bindings;	/* row types matched so far; see bind.c */
	int			num_bindings;
	MemoryContext context;		/* holds all of this */

	/* private to version.c */
	uint8		image_hash[IMAGE_HASH_LENGTH];
	CacheClaim	claim;
	bool		claimed;		/* claim has been made, image may be evicted */
	bool		pinned;			/* in this transaction */
	ForestKernel kernel;		/* that was asked for */
	struct Version *next;		/* in the list of those remembered */
} Version;

#define CATEGORY_UNSEEN (-1)	/* goes where unseen categories go: left */

extern void version_init(void);
extern Version *version_use(int64 version_id, Problem *problem);
extern bool version_use_again(Version *version, uint64 forgotten_then);
extern uint64 version_num_forgotten(void);
extern bool version_same_features(const Version *a, const Version *b);
extern uint64 version_transaction(void);

extern bool category_map_is_text(const CategoryMap *map);
extern int	category_of_text(const CategoryMap *map, const char *name, int length);
extern int	category_of_integer(const CategoryMap *map, int64 value);
extern char *category_name(const CategoryMap *map, int code);

#endif							/* PG_RISK_VERSION_H */
