/*
 * mutate_model.c
 *		Mutations of models in JSON and UBJSON that keep the text well formed,
 *		mostly: they change what fields and elements say.
 *
 * An outline lists the members of all objects in a text, so that a mutation
 * can choose a key first and then one of its places: fields that occur once
 * are changed as often as those that every tree has.  The outline is made with
 * rules of its own, not with the parsers under test, and of broken texts too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define MAX_FIELDS		4096
#define MAX_DEPTH		64
#define NO_FIELD		UINT32_MAX

/* One member of an object, as places in the text. */
typedef struct Field
{
	size_t		start;			/* where the key begins, with its quote or length */
	size_t		key;			/* the key's text */
	size_t		key_size;
	size_t		value;
	size_t		end;			/* of the value */
} Field;

/* An array's elements in UBJSON, all of one width. */
typedef struct Elements
{
	size_t		first;
	size_t		count;
	unsigned	width;			/* marks included; 0: no array of numbers */
	unsigned	mark;			/* bytes of each element that are its type */
	size_t		count_at;		/* of an 'L' count; 0: none */
} Elements;

static Field fields[MAX_FIELDS];
static uint32_t num_fields;

/* Note a member; its end comes later. */
static uint32_t
add_field(size_t start, size_t key, size_t key_size, size_t value)
{
	if (num_fields == MAX_FIELDS)
		return NO_FIELD;
	fields[num_fields] = (Field){start, key, key_size, value, 0};
	return num_fields++;
}

/* Forget members that have no end. */
static void
drop_unfinished(void)
{
	uint32_t	kept = 0;

	for (uint32_t i = 0; i < num_fields; i++)
	{
		if (fields[i].end > fields[i].value)
			fields[kept++] = fields[i];
	}
	num_fields = kept;
}

/* Another field with the same key, else the same one. */
static uint32_t
choose_namesake(const Input *input, uint32_t field, Random *random)
{
	uint32_t	chosen = field;
	uint32_t	seen = 0;

	for (uint32_t i = 0; i < num_fields; i++)
	{
		if (i != field && fields[i].key_size == fields[field].key_size &&
			memcmp(input->data + fields[i].key, input->data + fields[field].key,
				   fields[i].key_size) == 0 &&
			random_below(random, ++seen) == 0)
			chosen = i;
	}
	return chosen;
}

/* Whether a field is an array of scalars that has elements. */
static bool
is_array(const Input *input, const Field *field)
{
	return input->data[field->value] == '[' && field->end - field->value > 2 &&
		strchr("{[\"", input->data[field->value + 1]) == NULL;
}

/*
 * A field, by its key first: the next one to a random place in the order of
 * hashed keys.  Half of the time an array; NO_FIELD when there is none.
 */
static uint32_t
choose_field(const Input *input, Random *random)
{
	bool		wants_array = random_below(random, 2) == 0;
	uint32_t	place = (uint32_t) random_bits(random);
	uint32_t	nearest = NO_FIELD;
	uint64_t	least = UINT64_MAX;

	for (uint32_t i = 0; i < num_fields; i++)
	{
		uint32_t	distance = (uint32_t) (hash_of(input->data + fields[i].key,
												   fields[i].key_size) >> 16) - place;

		if (distance < least && (!wants_array || is_array(input, &fields[i])))
		{
			least = distance;
			nearest = i;
		}
	}
	if (nearest == NO_FIELD || random_below(random, 2) == 0)
		return nearest;
	return choose_namesake(input, nearest, random);
}

/* What both formats have in common: fields go, double, and change places. */
static void
move_field(Input *input, uint32_t field, uint32_t way, Random *random)
{
	const Field *at = &fields[field];
	const Field *from;

	switch (way)
	{
		case 0:
			from = &fields[choose_namesake(input, field, random)];
			input_copy(input, at->value, at->end - at->value,
					   from->value, from->end - from->value);
			break;
		case 1:
			from = &fields[random_below(random, num_fields)];
			input_copy(input, at->value, at->end - at->value,
					   from->value, from->end - from->value);
			break;
		case 2:
			from = &fields[random_below(random, num_fields)];
			input_copy(input, at->start, at->value - at->start,
					   from->start, from->value - from->start);
			break;
		default:
			if (at->key_size > 0)
				input->data[at->key + random_below(random, at->key_size)] ^= 1;
			break;
	}
}

/* ---- JSON ---- */

/* Numbers and other values that stand where numbers do. */
static const char *const json_values[] = {
	"0", "1", "-1", "2", "3", "5", "7", "-0", "0.5", "-1.5", "64", "255", "256", "65536",
	"1048576", "16777215", "16777216", "2147483646", "2147483647", "2147483648",
	"-2147483648", "-2147483649", "4294967295", "4294967296", "9223372036854775807",
	"9223372036854775808", "999999999999999999", "1e38", "3.4028235E38", "3.5e38", "1e39",
	"-1e39", "1E-38", "1E-45", "1e-46", "1e999999999", "1e-999999999",
	"0.1000000014901161193847656250000000000000000000000000000000000001", "NaN",
	"Infinity", "-Infinity", "true", "false", "null", "01", "+1", "1.", ".5", "0x10", "-",
};

/* Values of fields. */
static const char *const json_field_values[] = {
	"{}", "[]", "[0]", "[0,0]", "[1,2,3]", "[-1]", "[1.5]", "[true]", "[null]", "[[]]",
	"[{}]", "[\"c\"]", "[NaN]", "[4294967296]", "\"\"", "\"0\"", "\"1\"", "\"2\"", "\"3\"",
	"\"-1\"", "\"+1\"", "\" 1\"", "\"1 \"", "\"1e1\"", "\"16384\"", "\"16385\"",
	"\"1048576\"", "\"1048577\"", "\"2147483648\"", "\"4294967295\"", "\"4294967296\"",
	"\"99999999999999999999\"", "\"5E-1\"", "\"[5E-1]\"", "\"[5E-1,2E-1]\"",
	"\"[1E0, 2E0, 3E0]\"", "\"[]\"", "\"[,]\"", "\"[1,]\"", "\"1E0\"", "\"0E0\"",
	"\"-1E0\"", "\"1E-45\"", "\"1E39\"", "\"NaN\"", "\"nan\"", "\"inf\"", "\"0x1p3\"",
	"\"\\u0000\"", "\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"\\n\\t\\\"\"", "\"c\"",
	"\"float\"", "\"gbtree\"", "\"dart\"", "\"gblinear\"", "\"binary:logistic\"",
	"\"reg:squarederror\"", "\"multi:softprob\"", "\"multi:softmax\"", "\"binary:hinge\"",
	"\"count:poisson\"", "\"reg:quantileerror\"", "\"reg:expectileerror\"",
	"\"survival:aft\"", "\"rank:ndcg\"", "\"reg:absoluteerror\"", "[1,0,0]", "[1,7,6]",
	"[2,0,0]", "[3,1,0]", "[3,2,0]", "[3,3,0]", "[3,4,0]", "[3,5,0]", "[999,999,999]",
};

#define COUNT_OF(array)	(sizeof(array) / sizeof((array)[0]))

/* Step over blanks. */
static size_t
json_blanks(const Input *input, size_t at)
{
	while (at < input->size && input->data[at] != '\0' &&
		   strchr(" \t\r\n", input->data[at]) != NULL)
		at++;
	return at;
}

/* The place behind a string that begins here. */
static size_t
json_string_end(const Input *input, size_t at)
{
	for (at++; at < input->size && input->data[at] != '"'; at++)
	{
		if (input->data[at] == '\\')
			at++;
	}
	return at < input->size ? at + 1 : input->size;
}

/* List the members of all objects. */
static void
outline_json(const Input *input)
{
	uint32_t	open[MAX_DEPTH];
	uint32_t	depth = 0;
	uint32_t	pending = NO_FIELD;

	num_fields = 0;
	for (size_t at = 0; at < input->size;)
	{
		char		byte = input->data[at];

		if (byte == '"')
		{
			size_t		key_size = json_string_end(input, at) - at;
			size_t		end = at + key_size;
			size_t		colon = json_blanks(input, end);

			if (colon < input->size && input->data[colon] == ':' && key_size >= 2)
			{
				end = json_blanks(input, colon + 1);
				pending = add_field(at, at + 1, key_size - 2, end);
			}
			at = end;
			continue;
		}
		if (byte == '{' || byte == '[')
		{
			if (depth == MAX_DEPTH)
				break;
			open[depth++] = pending;
			pending = NO_FIELD;
		}
		else if (byte == '}' || byte == ']' || byte == ',')
		{
			if (pending != NO_FIELD)
				fields[pending].end = at;
			pending = NO_FIELD;
			if (byte != ',' && depth > 0 && open[--depth] != NO_FIELD)
				fields[open[depth]].end = at + 1;
		}
		at++;
	}
	drop_unfinished();
}

/* A random element of the array of scalars that a field is. */
static bool
json_element(const Input *input, const Field *field, Random *random, size_t *start, size_t *end)
{
	size_t		at = field->value + 1;
	uint32_t	seen = 0;

	if (input->data[field->value] != '[')
		return false;
	while (at < field->end)
	{
		size_t		length = 0;

		while (at + length < field->end && strchr(",[]{}", input->data[at + length]) == NULL)
			length++;
		if (length > 0 && random_below(random, ++seen) == 0)
		{
			*start = at;
			*end = at + length;
		}
		at += length + 1;
	}
	return seen > 0;
}

/* Change one element of an array. */
static void
json_change_element(Input *input, size_t start, size_t end, const Field *field, Random *random)
{
	size_t		from;
	size_t		from_end;
	char		text[40];
	const char *value;
	long long	number;

	switch (random_below(random, 8))
	{
		case 0:
			input_replace(input, start, end + (input->data[end] == ',') - start, NULL, 0);
			break;
		case 1:
			input_replace(input, start, 0, "0,", 2);
			break;
		case 2:
		case 3:
			if (json_element(input, field, random, &from, &from_end))
				input_copy(input, start, end - start, from, from_end - from);
			break;
		case 4:
		case 5:
			snprintf(text, sizeof(text), "%.*s", (int) (end - start < 30 ? end - start : 30),
					 input->data + start);
			number = strtoll(text, NULL, 10);
			snprintf(text, sizeof(text), "%lld", number > 1 << 30 ? 0 : number +
					 (long long) random_below(random, 5) - 2);
			input_replace(input, start, end - start, text, strlen(text));
			break;
		default:
			value = json_values[random_below(random, COUNT_OF(json_values))];
			input_replace(input, start, end - start, value, strlen(value));
			break;
	}
}

/* Put a field's value into some lists. */
static void
json_nest(Input *input, const Field *field, Random *random)
{
	uint32_t	depth = random_below(random, 4) == 0 ? random_below(random, 80) : 1;

	while (depth-- > 0)
	{
		input_replace(input, field->end, 0, "]", 1);
		input_replace(input, field->value, 0, "[", 1);
	}
}

/* One change. */
static void
change_json(Input *input, Random *random)
{
	uint32_t	chosen;
	const Field *field;
	const char *value;
	size_t		start;
	size_t		end;
	uint32_t	way = random_below(random, 20);

	outline_json(input);
	chosen = choose_field(input, random);
	if (chosen == NO_FIELD)
		return;
	field = &fields[chosen];
	if (way < 10 && json_element(input, field, random, &start, &end))
		json_change_element(input, start, end, field, random);
	else if (way < 14)
	{
		value = random_below(random, 4) == 0 ?
			json_values[random_below(random, COUNT_OF(json_values))] :
			json_field_values[random_below(random, COUNT_OF(json_field_values))];
		input_replace(input, field->value, field->end - field->value, value, strlen(value));
	}
	else if (way == 14)
	{
		end = field->end;
		if (end < input->size && input->data[end] == ',')
			end++;
		input_replace(input, field->start, end - field->start, NULL, 0);
	}
	else if (way == 15)
	{
		start = field->start;
		end = field->end;
		input_replace(input, end, 0, ",", 1);
		input_copy(input, end + 1, 0, start, end - start);
	}
	else if (way == 16)
		json_nest(input, field, random);
	else
		move_field(input, chosen, random_below(random, 4), random);
}

/* See fuzz.h. */
void
mutate_json(Input *input, const Input *other, Random *random)
{
	uint32_t	changes = 1 + random_below(random, 3) / (1 + random_below(random, 2));

	(void) other;
	while (changes-- > 0)
		change_json(input, random);
}

/* ---- UBJSON ---- */

/* Values of fields, with their lengths as they have zero bytes. */
#define VALUE(text)	{text, sizeof(text) - 1}
static const struct
{
	const char *bytes;
	size_t		size;
}			ubjson_values[] =
{
	VALUE("Z"), VALUE("T"), VALUE("F"), VALUE("i\0"), VALUE("i\1"), VALUE("i\xFF"),
	VALUE("U\xFF"), VALUE("I\x80\0"), VALUE("l\x7F\xFF\xFF\xFF"),
	VALUE("L\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), VALUE("L\x80\0\0\0\0\0\0\0"),
	VALUE("d\x7F\x80\0\0"), VALUE("d\x7F\xC0\0\0"), VALUE("D\x7F\xF0\0\0\0\0\0\0"),
	VALUE("D\x47\xF0\0\0\0\0\0\0"), VALUE("SL\0\0\0\0\0\0\0\0"), VALUE("Si\1" "0"),
	VALUE("Si\1" "1"), VALUE("Si\1" "3"), VALUE("Si\2" "-1"), VALUE("Si\x05" "[1,2]"),
	VALUE("SU\x0A" "4294967296"), VALUE("Si\x08" "gblinear"), VALUE("Si\4" "dart"),
	VALUE("SU\x0E" "multi:softprob"), VALUE("Si\1\0"), VALUE("Si\1\xFF"), VALUE("Si\xFF"),
	VALUE("SL\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), VALUE("{}"), VALUE("[]"), VALUE("[#i\0"),
	VALUE("[#L\0\0\0\0\0\0\0\0"), VALUE("[#i\1Z"), VALUE("[$l#L\0\0\0\0\0\0\0\0"),
	VALUE("[$d#L\x3F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), VALUE("[$D#L\x20\0\0\0\0\0\0\0"),
	VALUE("[$L#i\1\0\0\0\0\0\0\0\0"), VALUE("[$U#i\2\0\1"), VALUE("[$i#i\2\0\xFF"),
	VALUE("[$I#i\1\x80\0"), VALUE("[$Z#i\x7F"), VALUE("[$[#i\2"), VALUE("[i\1d\0\0\0\0]"),
	VALUE("[#l\x7F\xFF\xFF\xFF"), VALUE("[[[]]]"),
};

/* The width of a number of this type; 0: none. */
static unsigned
ubjson_width_of(char type)
{
	return type == 'i' || type == 'U' ? 1 : type == 'I' ? 2 : type == 'l' || type == 'd' ? 4 :
		type == 'L' || type == 'D' ? 8 : 0;
}

/* Read a type and a length; the place behind them, 0 when that cannot be. */
static size_t
ubjson_length_at(const Input *input, size_t at, uint64_t *length)
{
	unsigned	width = at < input->size ? ubjson_width_of(input->data[at]) : 0;

	*length = 0;
	if (width == 0 || width > input->size - at - 1)
		return 0;
	for (unsigned i = 0; i < width; i++)
		*length = *length << 8 | (unsigned char) input->data[at + 1 + i];
	at += 1 + width;
	return *length <= input->size - at ? at : 0;
}

/* What the elements of an array are; the place of its first one, 0 if broken. */
static size_t
ubjson_elements(const Input *input, size_t at, Elements *elements)
{
	uint64_t	count = 0;

	memset(elements, 0, sizeof(*elements));
	at++;
	if (at + 2 < input->size && input->data[at] == '$' && input->data[at + 2] == '#')
	{
		elements->width = ubjson_width_of(input->data[at + 1]);
		at += 2;
	}
	if (at < input->size && input->data[at] == '#')
	{
		elements->count_at = at + 1 < input->size && input->data[at + 1] == 'L' ? at + 2 : 0;
		at = ubjson_length_at(input, at + 1, &count);
		if (at == 0)
			return 0;
	}
	elements->first = at;
	elements->count = count;
	if (elements->width == 0 && at < input->size && ubjson_width_of(input->data[at]) > 0)
	{
		elements->width = 1 + ubjson_width_of(input->data[at]);
		elements->mark = 1;
	}
	if (elements->width > 0 && elements->count > (input->size - at) / elements->width)
		elements->count = (input->size - at) / elements->width;
	return at;
}

/* Step over a value, listing the members in it; 0 when it is broken. */
static size_t
ubjson_value_end(const Input *input, size_t at, uint32_t depth)
{
	char		type = at < input->size ? input->data[at] : '\0';
	bool		is_object = type == '{';
	Elements	elements;
	uint64_t	length;

	if (type == 'Z' || type == 'T' || type == 'F')
		return at + 1;
	if (type == 'S')
	{
		at = ubjson_length_at(input, at + 1, &length);
		return at == 0 ? 0 : at + length;
	}
	if (type != '{' && type != '[')
		return ubjson_width_of(type) == 0 || input->size - at <= ubjson_width_of(type) ? 0 :
			at + 1 + ubjson_width_of(type);
	if (depth == MAX_DEPTH)
		return 0;
	if (!is_object)
	{
		bool		is_typed = at + 1 < input->size && input->data[at + 1] == '$';

		at = ubjson_elements(input, at, &elements);
		if (at == 0 || is_typed)
			return at == 0 ? 0 : at + elements.count * elements.width;
		if (elements.count_at > 0)
		{
			for (uint64_t i = 0; i < elements.count && at > 0; i++)
				at = ubjson_value_end(input, at, depth + 1);
			return at;
		}
	}
	else
		at++;
	while (at < input->size && input->data[at] != (is_object ? '}' : ']'))
	{
		uint32_t	field = NO_FIELD;

		if (is_object)
		{
			size_t		key = ubjson_length_at(input, at, &length);

			if (key == 0)
				return 0;
			field = add_field(at, key, length, key + length);
			at = key + length;
		}
		at = ubjson_value_end(input, at, depth + 1);
		if (at == 0)
			return 0;
		if (field != NO_FIELD)
			fields[field].end = at;
	}
	return at < input->size ? at + 1 : 0;
}

/* Change the count of an array by one. */
static void
ubjson_add_to_count(Input *input, const Elements *elements, int step)
{
	for (size_t i = 8; i > 0; i--)
	{
		unsigned char byte = (unsigned char) input->data[elements->count_at + i - 1];

		input->data[elements->count_at + i - 1] = (char) (byte + step);
		if (byte != (step > 0 ? 0xFF : 0))
			break;
	}
}

/* Change one element of an array of numbers. */
static void
ubjson_change_element(Input *input, const Elements *elements, Random *random)
{
	static const uint32_t words[] = {0, 1, 2, 3, 5, 64, 255, 0xFFFFFF, 0x1000000, 0x7FFFFFFE,
		0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0x7F800000, 0xFF800000, 0x7FC00000,
	0x7F7FFFFF, 0x3F000000, 0x3F800000};
	size_t		at = elements->first + elements->width * random_below(random, elements->count);
	size_t		from = elements->first + elements->width * random_below(random, elements->count);
	uint32_t	word = words[random_below(random, COUNT_OF(words))];

	switch (random_below(random, 8))
	{
		case 0:
			input_replace(input, at, elements->width, NULL, 0);
			if (elements->count_at > 0)
				ubjson_add_to_count(input, elements, -1);
			break;
		case 1:
			input_copy(input, at, 0, from, elements->width);
			if (elements->count_at > 0)
				ubjson_add_to_count(input, elements, 1);
			break;
		case 2:
		case 3:
			input_copy(input, at, elements->width, from, elements->width);
			break;
		case 4:
		case 5:
			input->data[at + elements->width - 1] = (char)
				(input->data[at + elements->width - 1] + (int) random_below(random, 5) - 2);
			break;
		default:
			for (unsigned i = elements->width; i > elements->mark; i--, word >>= 8)
				input->data[at + i - 1] = (char) (word & 0xFF);
			break;
	}
}

/* One change. */
static void
change_ubjson(Input *input, Random *random)
{
	static const char types[] = "iUIlLdDSTFZ[{$#";
	uint32_t	chosen;
	const Field *field;
	uint32_t	way = random_below(random, 20);
	uint32_t	value;
	Elements	elements;

	num_fields = 0;
	ubjson_value_end(input, 0, 0);
	drop_unfinished();
	chosen = choose_field(input, random);
	if (chosen == NO_FIELD)
		return;
	field = &fields[chosen];
	if (way < 10 && input->data[field->value] == '[' &&
		ubjson_elements(input, field->value, &elements) != 0 &&
		elements.width > 0 && elements.count > 0)
		ubjson_change_element(input, &elements, random);
	else if (way < 14)
	{
		value = random_below(random, COUNT_OF(ubjson_values));
		input_replace(input, field->value, field->end - field->value,
					  ubjson_values[value].bytes, ubjson_values[value].size);
	}
	else if (way == 14)
		input_replace(input, field->start, field->end - field->start, NULL, 0);
	else if (way == 15)
		input_copy(input, field->end, 0, field->start, field->end - field->start);
	else if (way == 16)
		input->data[field->value] = types[random_below(random, sizeof(types) - 1)];
	else
		move_field(input, chosen, random_below(random, 4), random);
}

/* See fuzz.h. */
void
mutate_ubjson(Input *input, const Input *other, Random *random)
{
	uint32_t	changes = 1 + random_below(random, 3) / (1 + random_below(random, 2));

	(void) other;
	while (changes-- > 0)
		change_ubjson(input, random);
}
