/*
 * document.c
 *		The tree that a JSON or UBJSON text becomes: building and reading it.
 *
 * The bytes are a stranger's.  Nesting is bounded and kept on a stack of our
 * own; counts in UBJSON are compared with the bytes that are left before
 * anything is allocated for them, so memory is bounded by the input: at most
 * about 20 times its size (nothing but empty lists), and below its size for a
 * real model in JSON.
 *
 * Refused on top of what the formats forbid: duplicate keys, text that is not
 * UTF-8, zero bytes in text, anything after the value, and an array of numbers
 * with something else in it.
 */
#include <stdlib.h>
#include <string.h>

#include "parser.h"
#include "refusal.h"

static const char broken_hint[] =
"Save the model again with Booster.save_model() and see that the whole file arrives.";

/* End because the text is not what it should be here. */
void
parser_refuse(const Parser *parser, const char *what)
{
	refuse(REFUSE_MALFORMED, broken_hint, "malformed model: %s at byte %zu",
		   what, (size_t) (parser->at - parser->start));
}

/* ---- building the tree ---- */

/* Begin to read an object or a list. */
Frame *
parser_open_frame(Parser *parser, bool is_object)
{
	Frame	   *frame;

	if (parser->depth == MAX_NESTING)
		parser_refuse(parser, "too deep nesting");
	frame = &parser->frames[parser->depth++];
	memset(frame, 0, sizeof(*frame));
	frame->is_object = is_object;
	frame->base = parser->num_entries;
	return frame;
}

/* Add a finished value to the innermost frame. */
void
parser_add(Parser *parser, const Value *value)
{
	Member	   *entry;

	if (parser->num_entries == parser->max_entries)
	{
		Buffer		entries = {(char *) parser->entries,
			parser->num_entries * sizeof(Member), parser->num_entries * sizeof(Member)};

		buffer_reserve(&entries, sizeof(Member));
		parser->entries = (Member *) entries.data;
		parser->max_entries = entries.capacity / sizeof(Member);
	}
	entry = &parser->entries[parser->num_entries++];
	entry->key = parser->frames[parser->depth - 1].key;
	entry->value = *value;
}

/* Order of members, for qsort() and bsearch(). */
static int
compare_members(const void *left, const void *right)
{
	return strcmp(((const Member *) left)->key, ((const Member *) right)->key);
}

/* The innermost frame is complete: make it a value. */
Value
parser_close_frame(Parser *parser)
{
	Frame	   *frame = &parser->frames[--parser->depth];
	size_t		count = parser->num_entries - frame->base;
	Member	   *entries = count > 0 ? parser->entries + frame->base : NULL;
	Value		value = {.kind = VALUE_LIST,.count = (uint32_t) count};

	if (frame->is_object)
	{
		Member	   *members = region_get(count, sizeof(Member));

		if (count > 0)
			memcpy(members, entries, count * sizeof(Member));
		qsort(members, count, sizeof(Member), compare_members);
		for (size_t i = 1; i < count; i++)
		{
			if (strcmp(members[i - 1].key, members[i].key) == 0)
				parser_refuse(parser, "duplicate key in the object that ends");
		}
		value.kind = VALUE_OBJECT;
		value.as.members = members;
	}
	else
	{
		Value	   *items = region_get(count, sizeof(Value));

		for (size_t i = 0; i < count; i++)
			items[i] = entries[i].value;
		value.as.items = items;
	}
	parser->num_entries = frame->base;
	return value;
}

/* Begin an array of numbers. */
void
parser_open_numbers(Parser *parser)
{
	parser->numbers.size = 0;
	parser->num_numbers = 0;
	parser->has_fraction = false;
	parser->has_long = false;
}

/* From now on the array is one of floats: turn the integers so far, in place. */
static void
turn_to_floats(Parser *parser)
{
	for (size_t i = 0; i < parser->num_numbers; i++)
	{
		int64_t		integer;
		float		number;

		memcpy(&integer, parser->numbers.data + i * sizeof(integer), sizeof(integer));
		number = (float) integer;
		memcpy(parser->numbers.data + i * sizeof(number), &number, sizeof(number));
	}
	parser->numbers.size = parser->num_numbers * sizeof(float);
	parser->has_fraction = true;
}

/* Add a number to the array. */
void
parser_add_number(Parser *parser, const Number *number)
{
	if (!number->is_integer && !parser->has_fraction)
		turn_to_floats(parser);
	if (parser->has_fraction)
		buffer_add(&parser->numbers, &number->number, sizeof(float));
	else
	{
		buffer_add(&parser->numbers, &number->integer, sizeof(int64_t));
		if (number->integer < INT32_MIN || number->integer > INT32_MAX)
			parser->has_long = true;
	}
	parser->num_numbers++;
}

/* The array of numbers is complete: make it a value. */
Value
parser_close_numbers(Parser *parser)
{
	size_t		count = parser->num_numbers;
	Value		value = {.kind = VALUE_FLOATS,.count = (uint32_t) count};

	if (!parser->has_fraction && !parser->has_long)
	{
		int32_t    *ints = region_get(count, sizeof(int32_t));

		for (size_t i = 0; i < count; i++)
		{
			int64_t		integer;

			memcpy(&integer, parser->numbers.data + i * sizeof(integer), sizeof(integer));
			ints[i] = (int32_t) integer;
		}
		value.kind = VALUE_INTS;
		value.as.ints = ints;
	}
	else
	{
		void	   *copy = region_get(parser->numbers.size, 1);

		memcpy(copy, parser->numbers.data, parser->numbers.size);
		value.kind = parser->has_fraction ? VALUE_FLOATS : VALUE_LONGS;
		value.as.floats = copy;
	}
	return value;
}

/* Text of the document as a string of the tree. */
const char *
parser_string(const Parser *parser, const char *bytes, size_t length)
{
	if (!text_is_valid(bytes, length))
		parser_refuse(parser, "text that is not UTF-8, or holds a zero byte,");
	return region_get_string(bytes, length);
}

/* Prepare; counts of the tree have 32 bits. */
void
parser_open(Parser *parser, const char *bytes, size_t size)
{
	if (size > INT32_MAX)
		refuse(REFUSE_LIMIT, "Train a smaller model.", "model is larger than 2 GB");
	memset(parser, 0, sizeof(*parser));
	parser->start = bytes;
	parser->at = bytes;
	parser->end = bytes + size;
}

/* Give the working memory back and return the tree. */
const Value *
parser_close(Parser *parser, const Value *root)
{
	Value	   *result = region_get(1, sizeof(Value));

	free(parser->entries);
	buffer_free(&parser->text);
	buffer_free(&parser->numbers);
	*result = *root;
	return result;
}

/* ---- reading the tree ---- */

/* See document.h. */
const Value *
document_member(const Value *value, const char *key)
{
	Member		wanted = {.key = key};
	const Member *member;

	if (value == NULL || value->kind != VALUE_OBJECT)
		return NULL;
	member = bsearch(&wanted, value->as.members, value->count, sizeof(Member),
					 compare_members);
	return member == NULL ? NULL : &member->value;
}

/* The elements of an array of integers, one by one. */
static int64_t
integer_at(const Value *value, uint32_t i)
{
	return value->kind == VALUE_BYTES ? value->as.bytes[i] :
		value->kind == VALUE_INTS ? value->as.ints[i] : value->as.longs[i];
}

/* Whether value is an array of integers that are all in low .. high. */
static bool
are_integers(const Value *value, int64_t low, int64_t high)
{
	if (value == NULL || (value->kind != VALUE_BYTES && value->kind != VALUE_INTS &&
						  value->kind != VALUE_LONGS))
		return value != NULL && value->kind == VALUE_LIST && value->count == 0;
	for (uint32_t i = 0; i < value->count; i++)
	{
		if (integer_at(value, i) < low || integer_at(value, i) > high)
			return false;
	}
	return true;
}

/* See document.h. */
const uint8_t *
document_bytes(const Value *value, uint32_t *count)
{
	uint8_t    *bytes;

	if (!are_integers(value, 0, UINT8_MAX))
		return NULL;
	*count = value->count;
	if (value->kind == VALUE_BYTES)
		return value->as.bytes;
	bytes = region_get(value->count, sizeof(uint8_t));
	for (uint32_t i = 0; i < value->count; i++)
		bytes[i] = (uint8_t) integer_at(value, i);
	return bytes;
}

/* See document.h. */
const int32_t *
document_ints(const Value *value, uint32_t *count)
{
	int32_t    *ints;

	if (!are_integers(value, INT32_MIN, INT32_MAX))
		return NULL;
	*count = value->count;
	if (value->kind == VALUE_INTS)
		return value->as.ints;
	ints = region_get(value->count, sizeof(int32_t));
	for (uint32_t i = 0; i < value->count; i++)
		ints[i] = (int32_t) integer_at(value, i);
	return ints;
}

/* See document.h. */
const float *
document_floats(const Value *value, uint32_t *count)
{
	float	   *floats;

	if (value != NULL && value->kind == VALUE_FLOATS)
	{
		*count = value->count;
		return value->as.floats;
	}
	if (!are_integers(value, INT64_MIN, INT64_MAX))
		return NULL;
	*count = value->count;
	floats = region_get(value->count, sizeof(float));
	for (uint32_t i = 0; i < value->count; i++)
		floats[i] = (float) integer_at(value, i);
	return floats;
}
