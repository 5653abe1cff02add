/*
 * document.h
 *		A JSON or UBJSON text as one compact tree.
 *
 * Arrays of numbers, which are nearly all of a model, are packed; strings are
 * valid UTF-8 with a zero byte after them; members of an object are sorted by
 * key and no key comes twice.
 */
#ifndef IMPORT_DOCUMENT_H
#define IMPORT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ValueKind
{
	VALUE_NULL,
	VALUE_BOOLEAN,
	VALUE_INTEGER,
	VALUE_NUMBER,
	VALUE_STRING,
	VALUE_OBJECT,
	VALUE_LIST,					/* values of any kind; every empty array */
	VALUE_BYTES,				/* array of booleans, or of UBJSON's uint8 */
	VALUE_INTS,					/* array of integers that fit in 32 bits */
	VALUE_LONGS,				/* array of integers */
	VALUE_FLOATS				/* array of numbers */
} ValueKind;

typedef struct Value
{
	ValueKind	kind;
	uint32_t	count;			/* bytes, members or elements */
	union
	{
		bool		boolean;
		int64_t		integer;
		float		number;
		const char *string;
		const struct Member *members;
		const struct Value *items;
		const uint8_t *bytes;
		const int32_t *ints;
		const int64_t *longs;
		const float *floats;
	}			as;
} Value;

typedef struct Member
{
	const char *key;
	Value		value;
} Member;

/* The two formats. */
extern const Value *document_parse_json(const char *bytes, size_t size);
extern const Value *document_parse_ubjson(const char *bytes, size_t size);

/* The member of that name; NULL when absent or when value is no object. */
extern const Value *document_member(const Value *value, const char *key);

/*
 * An array as C array of the wanted type, *count elements; NULL when value is
 * NULL, is no array, or has elements that the type cannot hold.
 */
extern const uint8_t *document_bytes(const Value *value, uint32_t *count);
extern const int32_t *document_ints(const Value *value, uint32_t *count);
extern const float *document_floats(const Value *value, uint32_t *count);

#endif							/* IMPORT_DOCUMENT_H */
