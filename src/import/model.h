/*
 * model.h
 *		A model as described by its document, checked, in one layout whatever
 *		release of XGBoost wrote it.
 */
#ifndef IMPORT_MODEL_H
#define IMPORT_MODEL_H

#include "document.h"
#include "../forest/forest.h"

/* Releases as one number that compares. */
#define RELEASE(major, minor)	((major) * 1000 + (minor))

/* The first release of these ways of writing a model. */
#define RELEASE_ROUNDS			RELEASE(2, 0)	/* iteration_indptr */
#define RELEASE_BASE_VECTOR		RELEASE(3, 1)	/* base_score "[..]", cats */
#define RELEASE_LEAF_WEIGHTS	RELEASE(3, 2)	/* vector leaves in leaf_weights */
#define RELEASE_DART_BESIDE		RELEASE(3, 3)	/* weight_drop beside model */
#define RELEASE_DART_INSIDE		RELEASE(3, 4)	/* weight_drop in model */
#define RELEASE_NEWEST			RELEASE(3, 4)	/* the newest that we know */

#define DELETED_NODE_FEATURE	INT32_MAX

typedef enum Link
{
	LINK_IDENTITY,
	LINK_LOGIT,
	LINK_LOG,
	LINK_EXPECTILE
} Link;

/* One entry of an objective's parameter block; value NULL: see dialect.c. */
typedef struct ObjectiveParameter
{
	const char *block;
	const char *name;
	const char *value;
} ObjectiveParameter;

typedef struct Objective
{
	const char *name;
	int			since;			/* first release that has it */
	Link		link;			/* from base_score to the base margin */
	ForestTransform transform;
	bool		is_multiclass;
	ObjectiveParameter parameters[2];
} Objective;

/* NULL when there is no such objective. */
extern const Objective *objective_find(const char *name);

/* One with the identity as link that every release has. */
extern const Objective *objective_stand_in(void);

/* The name of an objective's transformation. */
extern const char *objective_transform_name(const Objective *objective);

/*
 * Base margins from base scores, which must be in the link's domain (false).
 */
extern bool objective_base_margins(const Objective *objective, const float *scores,
								   uint32_t count, float *margins);

/* A tree as the document has it, beside what the forest needs. */
typedef struct ModelTree
{
	const int32_t *right;		/* of a leaf: -1, or its row in leaf_weights */
	const int32_t *parents;
	const uint8_t *split_type;
	const float *base_weights;
	const float *loss_changes;	/* NULL: not in the document */
	const float *sum_hessian;
	const float *leaf_weights;	/* NULL: not that layout */
	uint32_t	num_leaf_weights;
	uint32_t	num_deleted;
	uint32_t	num_sets;		/* categorical nodes */
	uint32_t	num_categories;
	const int32_t *set_nodes;
	const int32_t *set_segments;
	const int32_t *set_sizes;
} ModelTree;

typedef enum ModelFormat
{
	FORMAT_JSON,
	FORMAT_UBJSON,
	FORMAT_BINARY				/* XGBoost's own before JSON */
} ModelFormat;

typedef enum ModelBooster
{
	BOOSTER_GBTREE,
	BOOSTER_DART,
	BOOSTER_GBLINEAR
} ModelBooster;

typedef struct CategoryNames
{
	uint32_t	count;
	const char **names;			/* by code; NULL: integers */
	const int64_t *integers;
} CategoryNames;

typedef struct Model
{
	ModelFormat format;
	int			release;		/* RELEASE() of the writer */
	const char *release_text;
	const Objective *objective;
	ModelBooster booster;
	uint32_t	num_features;
	uint32_t	num_classes;
	uint32_t	num_targets;
	uint32_t	num_outputs;
	uint32_t	num_base_scores;	/* 1 or num_outputs */
	const char **base_score_texts;
	float	   *base_scores;
	float	   *base_margins;	/* [num_outputs] */
	const char *alphas;			/* of quantiles and expectiles, as written */
	uint32_t	num_trees;
	uint32_t	num_parallel_tree;
	uint32_t	trees_per_round;
	int64_t		rounds;			/* -1: gblinear that does not tell */
	int64_t		best_iteration; /* -1: not told */
	bool		has_vector_leaves;
	bool		has_leaf_weights;	/* those in the newer layout */
	ForestSourceTree *trees;	/* [num_trees] */
	ModelTree  *details;		/* [num_trees] */
	const float *tree_weights;	/* DART's; NULL otherwise */
	const float *weights;		/* gblinear's */
	const char **feature_names; /* [num_features] or NULL */
	const char **feature_types; /* [num_features] or NULL */
	uint8_t    *is_categorical; /* [num_features] */
	CategoryNames *categories;	/* [num_features] or NULL */
	const Value *attributes;	/* NULL: none */
} Model;

/*
 * Tell the format of a file from its first bytes; a file that is none of the
 * three is refused with a hint that fits it.
 */
extern ModelFormat format_of(const char *bytes, size_t size);

/* For a file in the old binary format: the release in its header, "before 1.0". */
extern const char *format_binary_release(const char *bytes, size_t size);

/* Check a document and describe its model. */
extern Model *model_read(const Value *document, ModelFormat format);

/*
 * What the forest is built from: the first rounds (0: all) of the model, with
 * a value that means missing (NaN: none).
 */
extern void model_source(const Model *model, int64_t rounds, float missing,
						 ForestSource *source);

#endif							/* IMPORT_MODEL_H */
