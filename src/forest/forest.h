/*
 * forest.h
 *		The forest: one trained model as a flat, position-independent image,
 *		and what can be done with it: build it, check it, score with it.
 *
 * The image holds no pointers and is the same bytes in a table row, in shared
 * memory and in the importer.  Its sections follow the header in the order in
 * which Forest lists them, each aligned to 8 bytes; their places follow from
 * the header's counts, so there are no stored offsets to distrust.  The
 * order of slots, nodes, sets and vectors is fixed as well (layout.h), so a
 * forest has exactly one image.
 *
 * Nodes are 8 bytes.  A step from node i reads value and slot, and goes to
 * i + delta when slots[slot] < value and to i + delta + 1 otherwise.  delta is
 * never negative, so a walk only moves forward and cannot loop; a leaf has
 * delta 0 and slot 0, which always holds -infinity, so it stays where it is:
 * walks of a fixed number of steps need no test for "is this a leaf".
 *
 * Slots are what a row is turned into before the walk.  Each (feature, kind,
 * direction of missing values) that some node uses has one slot, so that
 * missing values need no test during the walk:
 *	 numeric:	  the value; missing is -infinity (goes left) or +infinity
 *				  (goes right);
 *	 categorical: a bit number (uint32): category + 1; 0 for missing that goes
 *				  right; UINT32_MAX for missing that goes left and for whatever
 *				  is not a category (negative, >= 2^24).
 * A categorical node's value is (uint32) an index into category_sets, where
 * stand the set's number of bits and then its words; a set bit goes right,
 * everything else left.  Bit 0 is always set.
 *
 * The sum starts at the base margin and adds leaves in tree order in float32,
 * as libxgboost does (src/predictor/cpu_predictor.cc); DART's tree weights are
 * multiplied into the leaves when the image is built, which gives the same
 * float32 product.
 *
 * What contributions need besides (contribute.c) stands at the end of the image,
 * where scoring never looks: for each inner node a ForestSplit, for each output
 * its expected margin.  A model that does not tell its covers has neither.
 *
 * Everything here is pure C: no allocation behind the caller's back, no I/O,
 * no globals; errors are returned.
 */
#ifndef PG_RISK_FOREST_H
#define PG_RISK_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOREST_MAGIC			UINT32_C(0x46524750)	/* "PGRF", little-endian */
#define FOREST_IMAGE_VERSION	2

#define FOREST_MAX_FEATURES		(1 << 20)
#define FOREST_MAX_OUTPUTS		(1 << 14)
#define FOREST_MAX_TREES		(1 << 20)
#define FOREST_MAX_NODES		(1 << 28)
#define FOREST_MAX_CATEGORY		(1 << 24)	/* categories are 0 .. this - 1 */
#define FOREST_MAX_CATEGORY_WORDS	(1 << 25)	/* of all category sets: 128 MB */
#define FOREST_MAX_DEPTH		65535

typedef enum ForestKind
{
	FOREST_TREES = 1,			/* gbtree, dart, random forests */
	FOREST_LINEAR = 2			/* gblinear */
} ForestKind;

/* From margins to predictions; see forest_transform(). */
typedef enum ForestTransform
{
	FOREST_IDENTITY = 1,
	FOREST_SIGMOID = 2,			/* per output */
	FOREST_EXP = 3,				/* per output */
	FOREST_HINGE = 4,			/* per output: margin > 0 */
	FOREST_SOFTMAX = 5,			/* over all outputs */
	FOREST_ARGMAX = 6,			/* number of the largest output: one prediction */
	FOREST_EXPECTILE = 7		/* output 0, then softplus increments */
} ForestTransform;

typedef struct ForestHeader
{
	uint32_t	magic;
	uint32_t	image_version;
	uint64_t	image_size;		/* bytes, header included */
	uint32_t	kind;			/* ForestKind */
	uint32_t	transform;		/* ForestTransform */
	uint32_t	num_features;	/* length of a row */
	uint32_t	num_outputs;	/* margins per row */
	uint32_t	num_trees;		/* 0 when linear */
	uint32_t	num_nodes;		/* of all trees */
	uint32_t	num_slots;		/* slot 0 included */
	uint32_t	slot_bits;		/* low bits of ForestNode.step that hold the slot */
	uint32_t	num_category_words; /* length of category_sets */
	uint32_t	num_leaf_vectors;	/* rows of leaf_vectors; 0: scalar leaves */
	uint32_t	max_depth;		/* edges from a root to its farthest leaf */
	float		missing;		/* value that also means missing; NaN: none */
	uint32_t	has_splits;		/* 1: expected margins and splits are there */
	uint32_t	reserved;		/* 0 */
} ForestHeader;

/* Flags of a slot. */
#define FOREST_SLOT_CATEGORICAL		1
#define FOREST_SLOT_MISSING_LEFT	2

typedef struct ForestSlot
{
	uint32_t	feature;
	uint32_t	flags;			/* FOREST_SLOT_...; slot 0: feature 0, flags 0, unused */
} ForestSlot;

typedef struct ForestTree
{
	uint32_t	root;			/* index in nodes; a tree ends where the next begins */
	uint32_t	depth;			/* steps that surely reach a leaf */
	uint32_t	output;			/* which margin it adds to; 0 with leaf vectors */
	uint32_t	path_features;	/* different ones on a path, at most; without
								 * splits: 0 */
} ForestTree;

typedef struct ForestNode
{
	union
	{
		float		cut;		/* numeric split: left when slot < cut; leaf: its value */
		uint32_t	set;		/* categorical split: index in category_sets */
		uint32_t	vector;		/* leaf of a vector-leaf tree: row in leaf_vectors */
	}			value;
	uint32_t	step;			/* delta << slot_bits | slot; a leaf: 0 */
} ForestNode;

/* What training saw at an inner node; the k-th of a tree has its k-th split. */
typedef struct ForestSplit
{
	float		left_share;		/* of the node's cover (sum of hessians): 0 to 1 */
	uint32_t	previous;		/* where the nearest split above on the same
								 * feature led: a node, counted from the root; 0:
								 * there is none */
} ForestSplit;

/*
 * Pointers into an image that has passed forest_check().  With FOREST_LINEAR,
 * weights are [num_features + 1][num_outputs], the bias row last.
 */
typedef struct Forest Forest;

struct Forest
{
	const ForestHeader *header;
	const float *base_margins;	/* [num_outputs] */
	const ForestSlot *slots;	/* [num_slots] */
	const ForestTree *trees;	/* [num_trees] */
	const ForestNode *nodes;	/* [num_nodes] */
	const uint32_t *category_sets;	/* [num_category_words] */
	const float *leaf_vectors;	/* [num_leaf_vectors][num_outputs] */
	const float *weights;		/* linear only */
	const double *expected;		/* [num_outputs], with the base margins */
	const ForestSplit *splits;	/* of all inner nodes */
	uint32_t	first_categorical;	/* slots from here on hold categories */
	const struct ForestPlan *plan;	/* NULL: none */
	/* adds all trees to the margins, which hold the base margins; see kernel.c */
	void		(*kernel) (const Forest *forest, const float *row, void *scratch,
						   float *margins);
	/* the margins of up to 256 rows at once; NULL: row by row */
	void		(*batch_kernel) (const Forest *forest, const float *rows, uint32_t num_rows,
								 void *scratch, float *margins);
	const char *kernel_name;
	const struct ContributeKernel *contribute;	/* of many rows' contributions */
};

/* ---- image ---- */

/* NULL when the bytes are a sound image of this version, else what is wrong
 * with them.  A sound image can be scored with any row without reading or
 * writing outside of it and the caller's buffers. */
extern const char *forest_check(const void *image, size_t size);

/* Point *forest into an image that forest_check() has passed; O(1). */
extern void forest_open(Forest *forest, const void *image);

/* ---- plan and kernel ---- */

/*
 * What adds up the trees.  All kernels give the same bits; all but the walk need
 * a plan: the forest laid out once more, for the processor (plan.h).
 */
typedef enum ForestKernel
{
	FOREST_KERNEL_AUTO,			/* the fastest that there is */
	FOREST_KERNEL_WALK,			/* any processor, any forest */
	FOREST_KERNEL_KEYS,			/* keys, any processor; see keys.c */
	FOREST_KERNEL_PLAIN,		/* ranks for many rows, any processor */
	FOREST_KERNEL_AVX2,			/* ranks, with AVX2 */
	FOREST_KERNEL_AVX512		/* ranks, with AVX-512 VBMI */
} ForestKernel;

/* Bytes that forest_plan_build() wants, more than the plan will take; 0: this
 * forest has no plan. */
extern size_t forest_plan_room(const Forest *forest, ForestKernel kernel);

/* Make the plan of a forest in a block of forest_plan_room() bytes, aligned to
 * 64: what this kernel needs to score rows and batches, FOREST_KERNEL_AUTO: the fastest
 * ones.  Returns the plan's size, 0 when the forest cannot have one.  The plan can
 * be moved: it holds no pointers. */
extern size_t forest_plan_build(const Forest *forest, ForestKernel kernel, void *memory);

/* Let the forest use its plan, which must stay where it is (aligned to 64). */
extern void forest_use_plan(Forest *forest, const void *plan);

/* Does the processor have what this kernel needs? */
extern bool forest_has_kernel(ForestKernel kernel);

/* Use this kernel from now on.  False, and nothing is changed, when the forest
 * or the processor cannot. */
extern bool forest_set_kernel(Forest *forest, ForestKernel kernel);

/*
 * Prove that all kernels that this processor has for the forest and its plan, one
 * row at a time and many, give the reference's margins, bit for bit, on rows
 * made from the image (prove.c).  Returns the kernel that does not, the walk before
 * others; FOREST_KERNEL_AUTO: all do.  That can take long: pause() is called before
 * each row, and need not return.
 */
extern ForestKernel forest_prove(const Forest *forest, void (*pause) (void), void *memory);

/* Bytes of working memory that forest_prove() wants, aligned to 8. */
extern size_t forest_proof_room(const Forest *forest);

/* ---- scoring ---- */

/* Bytes of scratch space that forest_margins() wants with the plan in use, aligned to 8. */
extern size_t forest_scratch_size(const Forest *forest);

/* row: [num_features], NaN is missing; margins: [num_outputs], written. */
extern void forest_margins(const Forest *forest, const float *row,
						   void *scratch, float *margins);

/* Bytes of scratch space that forest_margins_batch() wants with the kernel in use,
 * aligned to 8. */
extern size_t forest_batch_scratch_size(const Forest *forest);

/* Many rows, one after the other in memory: [num_rows][num_features] to
 * [num_rows][num_outputs].  The same bits as row by row; quickest in
 * multiples of 256. */
extern void forest_margins_batch(const Forest *forest, const float *rows, size_t num_rows,
								 void *scratch, float *margins);

/* One row, one tree at a time with a branch per node: the oracle that every
 * kernel must equal bit for bit.  Needs no scratch. */
extern void forest_margins_reference(const Forest *forest, const float *row,
									 float *margins);

/* Number of predictions that come from num_outputs margins. */
extern uint32_t forest_num_predictions(const Forest *forest);

/* predictions: [forest_num_predictions()]; may be the margins' own array. */
extern void forest_transform(const Forest *forest, const float *margins,
							 float *predictions);

/* The same for num_outputs margins, whatever the forest's own transform. */
extern void forest_transform_as(ForestTransform transform, uint32_t num_outputs,
								const float *margins, float *predictions);

/* ---- contributions ---- */

/* Does the model tell what contributions need? */
extern bool forest_explains(const Forest *forest);

/* Bytes of scratch space that forest_contributions() wants. */
extern size_t forest_contributions_scratch_size(const Forest *forest);

/*
 * What each feature adds to one margin, exactly (contribute.c), of a forest that
 * explains: contributions, [num_features + 1], end with the expected margin.
 * They add up to the margin but for rounding.
 */
extern void forest_contributions(const Forest *forest, const float *row, uint32_t output,
								 void *scratch, double *contributions);

/* The same for forest_contributions_batch(), with the kernel in use. */
extern size_t forest_contributions_batch_scratch_size(const Forest *forest);

/* Many rows, one after the other in memory: [num_rows][num_features] to
 * [num_rows][num_features + 1].  The same bits as row by row. */
extern void forest_contributions_batch(const Forest *forest, const float *rows, size_t num_rows,
									   uint32_t output, void *scratch, double *contributions);

/* ---- building ---- */

/* One tree as XGBoost stores it: node 0 is the root, arrays have num_nodes
 * entries, a leaf has left -1 (its right is not looked at).  Unreachable nodes
 * are left out of the image.  The lengths of categories and leaf_vectors are not
 * known here: that sets and vectors lie within them is the caller's word. */
typedef struct ForestSourceTree
{
	uint32_t	num_nodes;
	uint32_t	output;			/* which margin it adds to */
	float		weight;			/* DART's; 1 otherwise */
	const int32_t *left;
	const int32_t *right;
	const int32_t *feature;
	const float *condition;		/* threshold; at leaves the value */
	const uint8_t *default_left;
	const float *cover;			/* sum of hessians; NULL: not known */
	const uint8_t *categorical; /* 1: categorical split; NULL: none in this tree */
	const int32_t *set_begin;	/* of a categorical node: its categories are */
	const int32_t *set_size;	/* categories[set_begin ..], they go right */
	const int32_t *categories;
	const int32_t *leaf_vector; /* of a leaf: row in the source's leaf_vectors */
	const float *leaf_vectors;	/* [..][num_outputs]; NULL: scalar leaves */
} ForestSourceTree;

typedef struct ForestSource
{
	ForestKind	kind;
	ForestTransform transform;
	uint32_t	num_features;
	uint32_t	num_outputs;
	float		missing;
	const float *base_margins;	/* [num_outputs] */
	uint32_t	num_trees;
	const ForestSourceTree *trees;
	const float *weights;		/* linear: [num_features + 1][num_outputs] */
} ForestSource;

/*
 * Build the image of a source into a block from malloc(), which the caller
 * frees.  NULL when it cannot be: *why then says the reason (a constant
 * string).  The source is not trusted: children out of range, cycles, shared
 * nodes, thresholds that are not finite, categories out of range and whatever
 * else an image cannot hold are refused.
 */
extern void *forest_build(const ForestSource *source, size_t *size, const char **why);

#endif							/* PG_RISK_FOREST_H */
