/*
 * fields.h
 *		Getting the fields of a model's document or refusing it for them.
 *		Private to model.c, tree.c and categories.c.
 */
#ifndef IMPORT_FIELDS_H
#define IMPORT_FIELDS_H

#include "model.h"

/* Refuse as malformed: "malformed model: ...". */
extern void model_malformed(const char *format,...)
			__attribute__((noreturn, format(printf, 1, 2)));

/* The same for numbers that are not finite, as training leaves them when it diverges. */
extern void model_diverged(const char *format,...)
			__attribute__((noreturn, format(printf, 1, 2)));

/* An object that must be there. */
extern const Value *field_object(const Value *object, const char *key);

/* A number written as text, as all parameters are; absent may be out of range. */
extern int64_t field_number(const Value *object, const char *key,
							int64_t low, int64_t high, int64_t absent);

/* Arrays of exactly this length, or of any (UINT32_MAX) with *count set. */
extern const int32_t *field_ints(const Value *object, const char *key, uint32_t length,
								 uint32_t *count, int64_t low, int64_t high);
extern const uint8_t *field_bits(const Value *object, const char *key, uint32_t length);
extern const float *field_floats(const Value *object, const char *key, uint32_t length,
								 uint32_t *count);

#define FIELD_ANY_LENGTH	UINT32_MAX
#define FIELD_REQUIRED		INT64_MIN

/* Read one tree, checking that libxgboost and the forest can walk it. */
extern void tree_read(const Value *tree, uint32_t index, const Model *model,
					  ForestSourceTree *forest, ModelTree *detail);

/* Read the names of categories that a model of 3.1 or later may carry. */
extern CategoryNames *categories_read(const Value *cats, uint32_t num_features);

#endif							/* IMPORT_FIELDS_H */
