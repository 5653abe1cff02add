/*
 * version.c
 *		What a process remembers about the versions it scores with: names,
 *		categories, and its claim on the image in shared memory.
 *
 * A version is immutable, so it is remembered from transaction to transaction,
 * and forgotten when the catalog says that versions were dropped.  An image is
 * pinned at its first use in a transaction until the transaction ends; that is
 * two atomic additions a transaction, and idle connections hold nothing.
 *
 * What a running statement points to must stay: forgetting only takes a
 * version off the list, and its memory goes when the transaction ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "catalog.h"
#include "compat.h"
#include "guc.h"
#include "member.h"
#include "version.h"

/* Row types that a version remembers from transaction to transaction. */
#define MAX_BINDINGS 64

static Version *versions = NULL;	/* remembered */
static Version *forgotten = NULL;	/* until the transaction ends */
static uint64 remembered_generation = 0;
static uint64 num_forgotten = 0;	/* so far */
static uint64 transaction_number = 1;

/* ---- categories ---- */

typedef struct Category
{
	const char *name;
	int			length;
	int64		number;			/* where categories are integers */
	int			code;
} Category;

struct CategoryMap
{
	bool		is_text;
	int			count;
	Category	categories[FLEXIBLE_ARRAY_MEMBER];	/* sorted */
};

static int
compare_text(const void *a, const void *b)
{
	const Category *left = a;
	const Category *right = b;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return memcmp(left->name, right->name, left->length);
}

static int
compare_integer(const void *a, const void *b)
{
	const Category *left = a;
	const Category *right = b;

	return left->number < right->number ? -1 : left->number > right->number;
}

/* The map of a JSON array of strings, or of integers, in code order. */
static CategoryMap *
make_category_map(JsonbContainer *array)
{
	int			count = JsonContainerSize(array);
	CategoryMap *map = palloc0(offsetof(CategoryMap, categories) + sizeof(Category) * count);

	map->count = count;
	for (int i = 0; i < count; i++)
	{
		Category   *category = &map->categories[i];
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);

		category->code = i;
		if (value->type == jbvString)
		{
			map->is_text = true;
			category->name = pnstrdup(value->val.string.val, value->val.string.len);
			category->length = value->val.string.len;
		}
		else if (value->type == jbvNumeric)
			category->number = DatumGetInt64(DirectFunctionCall1(numeric_int8,
																 NumericGetDatum(value->val.numeric)));
	}
	qsort(map->categories, count, sizeof(Category),
		  map->is_text ? compare_text : compare_integer);
	return map;
}

bool
category_map_is_text(const CategoryMap *map)
{
	return map->is_text;
}

int
category_of_text(const CategoryMap *map, const char *name, int length)
{
	Category	key = {.name = name,.length = length};
	const Category *found = bsearch(&key, map->categories, map->count, sizeof(Category), compare_text);

	return found ? found->code : CATEGORY_UNSEEN;
}

int
category_of_integer(const CategoryMap *map, int64 value)
{
	Category	key = {.number = value};
	const Category *found = bsearch(&key, map->categories, map->count, sizeof(Category), compare_integer);

	return found ? found->code : CATEGORY_UNSEEN;
}

/* The name of a code, in the caller's memory; NULL: it has none. */
char *
category_name(const CategoryMap *map, int code)
{
	for (int i = 0; i < map->count; i++)
	{
		const Category *category = &map->categories[i];

		if (category->code == code)
			return map->is_text ? pnstrdup(category->name, category->length) :
				psprintf("%lld", (long long) category->number);
	}
	return NULL;
}

/* Do two maps give the same codes to the same names? */
static bool
same_categories(const CategoryMap *a, const CategoryMap *b)
{
	if (!a || !b)
		return a == b;
	if (a->is_text != b->is_text || a->count != b->count)
		return false;
	for (int i = 0; i < a->count; i++)
	{
		const Category *left = &a->categories[i];
		const Category *right = &b->categories[i];

		if (left->code != right->code || left->number != right->number ||
			left->length != right->length ||
			(a->is_text && memcmp(left->name, right->name, left->length) != 0))
			return false;
	}
	return true;
}

/* ---- transactions ---- */

/* Remember a version that was taken off the list only until the transaction ends. */
static void
forget(Version *version)
{
	version->next = forgotten;
	forgotten = version;
	num_forgotten++;
}

/*
 * Let go of all images when the transaction ends, whichever way.  A version
 * that was matched with very many row types is forgotten, since most of those
 * types may be gone.
 */
static void
transaction_ended(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}

	transaction_number++;
	for (Version **link = &versions; *link;)
	{
		Version    *version = *link;

		if (version->num_bindings <= MAX_BINDINGS)
		{
			if (version->pinned)
				cache_unpin(&version->claim);
			version->pinned = false;
			link = &version->next;
			continue;
		}
		*link = version->next;
		forget(version);
	}
	while (forgotten)
	{
		Version    *version = forgotten;

		forgotten = version->next;
		if (version->pinned)
			cache_unpin(&version->claim);
		MemoryContextDelete(version->context);
	}
}

void
version_init(void)
{
	/* Registered in the postmaster, inherited by every process. */
	RegisterXactCallback(transaction_ended, NULL);
}

/* Number of the transaction in this process; for telling them apart only. */
uint64
version_transaction(void)
{
	return transaction_number;
}

/* ---- versions ---- */

/* Forget all versions if the catalog heard that some may be gone. */
static void
forget_stale_versions(void)
{
	if (remembered_generation == catalog_generation())
		return;
	remembered_generation = catalog_generation();
	while (versions)
	{
		Version    *version = versions;

		versions = version->next;
		forget(version);
	}
}

/* An array that is a member of a JSON object; NULL when there is none. */
static JsonbContainer *
json_array(Jsonb *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = member_of(object, key, &buffer);

	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/* Names and categories of the features.  Runs in the version's context. */
static void
describe_features(Version *version, const VersionRow *row)
{
	JsonbContainer *array;

	version->features = palloc0(sizeof(VersionFeature) * version->num_features);

	if (row->feature_names)
	{
		Datum	   *names;
		bool	   *nulls;
		int			count;

		deconstruct_array(row->feature_names, TEXTOID, -1, false, TYPALIGN_INT,
						  &names, &nulls, &count);
		if (count != version->num_features)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("version \"%s\" of model \"%s\" has %d feature names and %d features",
							version->name, version->model, count, version->num_features)));
		version->has_names = true;
		for (int i = 0; i < count; i++)
			version->features[i].name = nulls[i] ? pstrdup("") : TextDatumGetCString(names[i]);
	}

	array = json_array(row->metadata, "categorical_features");
	if (array)
	{
		for (uint32 i = 0; i < JsonContainerSize(array); i++)
		{
			JsonbValue *number = getIthJsonbValueFromContainer(array, i);
			int			feature = number->type != jbvNumeric ? -1 :
				DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(number->val.numeric)));

			if (feature >= 0 && feature < version->num_features)
				version->features[feature].categorical = true;
		}
	}

	for (int i = 0; i < version->num_features; i++)
	{
		VersionFeature *feature = &version->features[i];
		const char *key = feature->name ? feature->name : psprintf("%d", i);

		if (!feature->categorical)
			continue;
		array = json_array(row->categories, key);
		if (array)
			feature->categories = make_category_map(array);
	}
}

/* Have the kernel that pg_risk.kernel names from now on, where the forest has it.
 * Only at the first use in a transaction: buffers are as large as it needs. */
static void
choose_kernel(Version *version)
{
	if (version->kernel == guc_kernel)
		return;
	if (!forest_set_kernel(&version->forest, guc_kernel))
		forest_set_kernel(&version->forest, FOREST_KERNEL_AUTO);
	version->kernel = guc_kernel;
}

/* Pin the version's image if it is where it was. */
static bool
pin_claimed(Version *version)
{
	if (!version->pinned && version->claimed && cache_pin(&version->claim))
	{
		version->pinned = true;
		choose_kernel(version);
	}
	return version->pinned;
}

/*
 * Take over the pin of a version that this transaction used and has forgotten, if
 * the image is the same: one that is read again is not in use twice.
 */
static bool
inherit_pin(Version *version, CacheClaim *claim)
{
	for (Version *other = forgotten; other; other = other->next)
	{
		if (other->pinned && memcmp(other->image_hash, version->image_hash, IMAGE_HASH_LENGTH) == 0)
		{
			*claim = other->claim;
			other->pinned = false;
			return true;
		}
	}
	return false;
}

/* Tell that a plan was refused when the version's image was loaded. */
static void
warn_of_plan(const Version *version)
{
	ereport(WARNING,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("kernel \"%s\" gives other scores than the reference for version \"%s\" of model \"%s\"",
					guc_kernel_name(version->claim.refused), version->name, version->model),
			 errdetail("Its plan is not used. Its trees are walked instead, so scores are right, but take longer."),
			 errhint("Please report this to the authors of pg_risk, with the model file and the name of the processor.")));
}

/* Reads the image of a version; see cache.h. */
static bytea *
read_image(const void *source, Problem *problem)
{
	const Version *version = source;
	bytea	   *image = catalog_read_image(version->id);
	bytea	   *hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(image)));

	if (memcmp(VARDATA_ANY(hash), version->image_hash, IMAGE_HASH_LENGTH) == 0)
		return image;
	problem_set(problem, ERRCODE_DATA_CORRUPTED,
				psprintf("forest image of version \"%s\" of model \"%s\" does not match its checksum",
						 version->name, version->model),
				"Restore risk.model_versions from a backup, or register the artifact again.");
	return NULL;
}

/* Pin the version's image, loading it when it is nowhere. */
static bool
pin_image(Version *version, Problem *problem)
{
	CacheClaim	claim;
	bool		found;

	if (pin_claimed(version))
		return true;
	found = inherit_pin(version, &claim) || cache_find(version->image_hash, &claim);
	if (!found && !cache_load(version->image_hash, read_image, version, &claim, problem))
		return false;
	version->claim = claim;
	version->claimed = true;
	version->pinned = true;
	forest_open(&version->forest, claim.image);
	forest_use_plan(&version->forest, claim.plan);
	version->kernel = FOREST_KERNEL_AUTO;
	choose_kernel(version);
	if (!found && claim.refused != FOREST_KERNEL_AUTO)
		warn_of_plan(version);
	return true;
}

/* Read a version and remember it, pinned. */
static Version *
remember_version(int64 version_id, Problem *problem)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_risk version row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_risk version",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	Version    *version = MemoryContextAllocZero(context, sizeof(Version));
	VersionRow	row;

	if (!catalog_read_version(version_id, &row))
	{
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		MemoryContextDelete(scratch);
		problem_set(problem, ERRCODE_DATA_CORRUPTED,
					psprintf("risk.model_versions has no version number %lld", (long long) version_id),
					"Promote a version that is registered. If this one should be, try REINDEX TABLE risk.model_versions.");
		return NULL;
	}
	version->id = version_id;
	version->context = context;
	version->model = MemoryContextStrdup(context, row.model);
	version->name = MemoryContextStrdup(context, row.version);
	memcpy(version->image_hash, row.image_hash, IMAGE_HASH_LENGTH);

	/*
	 * From the pin on the version is on a list, so whatever fails, the end of
	 * the transaction gives the pin back; until it is whole it is on the list
	 * of those that nobody finds.
	 */
	MemoryContextSetParent(context, TopMemoryContext);
	version->next = forgotten;
	forgotten = version;
	MemoryContextSwitchTo(caller);
	if (!pin_image(version, problem))
	{
		forgotten = version->next;
		MemoryContextDelete(context);
		MemoryContextDelete(scratch);
		return NULL;
	}
	version->num_features = version->forest.header->num_features;

	MemoryContextSwitchTo(context);
	describe_features(version, &row);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);

	Assert(forgotten == version);
	forgotten = version->next;
	version->next = versions;
	versions = version;
	return version;
}

/*
 * The version of a number, its image pinned until the transaction ends; NULL:
 * there is a problem, described in the caller's memory.
 *
 * Problems: XX001 its row or image is damaged or gone, 53400 no room for the
 * image.
 */
Version *
version_use(int64 version_id, Problem *problem)
{
	forget_stale_versions();
	for (Version *version = versions; version; version = version->next)
	{
		if (version->id == version_id)
			return pin_image(version, problem) ? version : NULL;
	}
	return remember_version(version_id, problem);
}

/*
 * Is a version of an earlier transaction, got when so many had been forgotten, still
 * good?  Then it is pinned, and good for this one.
 */
bool
version_use_again(Version *version, uint64 forgotten_then)
{
	forget_stale_versions();
	return forgotten_then == num_forgotten && pin_claimed(version);
}

/* How many versions this process has forgotten. */
uint64
version_num_forgotten(void)
{
	return num_forgotten;
}

/* Do the two turn a transaction into the same row of features? */
bool
version_same_features(const Version *a, const Version *b)
{
	if (a->num_features != b->num_features || !a->has_names || !b->has_names)
		return a == b;
	for (int i = 0; i < a->num_features; i++)
	{
		const VersionFeature *left = &a->features[i];
		const VersionFeature *right = &b->features[i];

		if (strcmp(left->name, right->name) != 0 || left->categorical != right->categorical ||
			!same_categories(left->categories, right->categories))
			return false;
	}
	return true;
}
