/*
 * ubjson.c
 *		A strict parser of the UBJSON that XGBoost writes: big-endian numbers
 *		of the types i U I l L d D, strings, booleans, null, objects, and arrays
 *		that are plain, counted ([#) or typed ([$).
 *
 * Booleans and null are refused in lists: XGBoost writes none there, and the
 * tree would take many times the byte that each has here.
 */
#include <string.h>

#include "parser.h"

/* Take the next bytes; they must be there. */
static const char *
ubjson_take(Parser *parser, uint64_t size)
{
	const char *bytes = parser->at;

	if (size > (uint64_t) (parser->end - parser->at))
		parser_refuse(parser, "the data ends too early");
	parser->at += size;
	return bytes;
}

/* Bytes of a number of that type; 0 when it is no type of number. */
static unsigned
ubjson_width(char type)
{
	switch (type)
	{
		case 'i':
		case 'U':
			return 1;
		case 'I':
			return 2;
		case 'l':
		case 'd':
			return 4;
		case 'L':
		case 'D':
			return 8;
		default:
			return 0;
	}
}

/* The number at bytes, which are big-endian. */
static Number
ubjson_decode(const char *bytes, char type)
{
	unsigned	width = ubjson_width(type);
	uint64_t	bits = 0;
	Number		number = {.is_integer = type != 'd' && type != 'D'};

	for (unsigned i = 0; i < width; i++)
		bits = bits << 8 | (unsigned char) bytes[i];
	if (type == 'd')
	{
		uint32_t	half = (uint32_t) bits;

		memcpy(&number.number, &half, sizeof(number.number));
	}
	else if (type == 'D')
	{
		double		wide;

		memcpy(&wide, &bits, sizeof(wide));
		number.number = (float) wide;
	}
	else
	{
		if (type != 'U' && width < 8 && bits >> (8 * width - 1) != 0)
			bits |= ~UINT64_C(0) << (8 * width);	/* sign */
		number.integer = (int64_t) bits;
		number.number = (float) number.integer;
	}
	return number;
}

/* Read a type and a number of it: a length or a count. */
static uint64_t
ubjson_length(Parser *parser)
{
	char		type = *ubjson_take(parser, 1);
	Number		number;

	if (ubjson_width(type) == 0 || type == 'd' || type == 'D')
		parser_refuse(parser, "a length is missing");
	number = ubjson_decode(ubjson_take(parser, ubjson_width(type)), type);
	if (number.integer < 0 ||
		(uint64_t) number.integer > (uint64_t) (parser->end - parser->at))
		parser_refuse(parser, "a length that is not possible");
	return (uint64_t) number.integer;
}

/* Read length and bytes of a string. */
static const char *
ubjson_string(Parser *parser, uint32_t *length)
{
	uint64_t	size = ubjson_length(parser);
	const char *bytes = ubjson_take(parser, size);

	*length = (uint32_t) size;
	return parser_string(parser, bytes, size);
}

/* Read the elements of an array whose elements have one type. */
static Value
ubjson_typed_array(Parser *parser)
{
	char		type = *ubjson_take(parser, 1);
	unsigned	width = ubjson_width(type);
	uint64_t	count;
	const char *bytes;
	Value		value = {.kind = VALUE_INTS};

	if (width == 0)
		parser_refuse(parser, "an array of an unknown type");
	if (*ubjson_take(parser, 1) != '#')
		parser_refuse(parser, "an array without a count");
	count = ubjson_length(parser);
	bytes = ubjson_take(parser, count * width);
	value.count = (uint32_t) count;
	if (type == 'U')
	{
		value.kind = VALUE_BYTES;
		value.as.string = region_get_string(bytes, count);
	}
	else if (type == 'd' || type == 'D')
	{
		float	   *floats = region_get(count, sizeof(float));

		for (uint64_t i = 0; i < count; i++)
			floats[i] = ubjson_decode(bytes + i * width, type).number;
		value.kind = VALUE_FLOATS;
		value.as.floats = floats;
	}
	else if (type == 'L')
	{
		int64_t    *longs = region_get(count, sizeof(int64_t));

		for (uint64_t i = 0; i < count; i++)
			longs[i] = ubjson_decode(bytes + i * width, type).integer;
		value.kind = VALUE_LONGS;
		value.as.longs = longs;
	}
	else
	{
		int32_t    *ints = region_get(count, sizeof(int32_t));

		for (uint64_t i = 0; i < count; i++)
			ints[i] = (int32_t) ubjson_decode(bytes + i * width, type).integer;
		value.as.ints = ints;
	}
	return value;
}

/* Whether the frame has no further element; steps over its closing bracket. */
static bool
ubjson_at_end(Parser *parser, const Frame *frame)
{
	if (frame->is_counted)
		return frame->left == 0;
	if (parser->at == parser->end)
		parser_refuse(parser, "the data ends too early");
	if (*parser->at != (frame->is_object ? '}' : ']'))
		return false;
	parser->at++;
	return true;
}

/* Read the elements, each with its type, of the list that was just opened. */
static Value
ubjson_numbers(Parser *parser, Frame *frame)
{
	parser_open_numbers(parser);
	while (!ubjson_at_end(parser, frame))
	{
		char		type = *ubjson_take(parser, 1);
		Number		number;

		if (ubjson_width(type) == 0)
			parser_refuse(parser, "a value that does not fit into its array");
		number = ubjson_decode(ubjson_take(parser, ubjson_width(type)), type);
		parser_add_number(parser, &number);
		frame->left--;
	}
	parser->depth--;
	return parser_close_numbers(parser);
}

/* Begin the next element of the frame, or close it: then *value is it. */
static bool
ubjson_next(Parser *parser, Value *value)
{
	Frame	   *frame = &parser->frames[parser->depth - 1];

	if (ubjson_at_end(parser, frame))
	{
		*value = parser_close_frame(parser);
		return true;
	}
	if (frame->is_object)
	{
		uint32_t	length;

		frame->key = ubjson_string(parser, &length);
	}
	frame->left--;
	return false;
}

/* Read an array behind its opening bracket; true when *value is complete. */
static bool
ubjson_array(Parser *parser, Value *value)
{
	char		byte = parser->at < parser->end ? *parser->at : '\0';
	Frame	   *frame;

	if (byte == '$')
	{
		parser->at++;
		*value = ubjson_typed_array(parser);
		return true;
	}
	frame = parser_open_frame(parser, false);
	if (byte == '#')
	{
		parser->at++;
		frame->is_counted = true;
		frame->left = ubjson_length(parser);
		byte = frame->left > 0 && parser->at < parser->end ? *parser->at : '\0';
	}
	if (ubjson_width(byte) != 0)
	{
		*value = ubjson_numbers(parser, frame);
		return true;
	}
	return ubjson_next(parser, value);
}

/*
 * Read a value, or open the object or list that begins here.  True when
 * *value is complete.
 */
static bool
ubjson_value(Parser *parser, Value *value)
{
	char		type = *ubjson_take(parser, 1);

	memset(value, 0, sizeof(*value));
	if (type == '{')
	{
		parser_open_frame(parser, true);
		return ubjson_next(parser, value);
	}
	if (type == '[')
		return ubjson_array(parser, value);
	if (type == 'S')
	{
		value->kind = VALUE_STRING;
		value->as.string = ubjson_string(parser, &value->count);
	}
	else if (ubjson_width(type) != 0)
	{
		Number		number = ubjson_decode(ubjson_take(parser, ubjson_width(type)), type);

		value->kind = number.is_integer ? VALUE_INTEGER : VALUE_NUMBER;
		if (number.is_integer)
			value->as.integer = number.integer;
		else
			value->as.number = number.number;
	}
	else if (parser->depth > 0 && !parser->frames[parser->depth - 1].is_object)
		parser_refuse(parser, "a value that does not fit into its array");
	else if (type == 'T' || type == 'F')
	{
		value->kind = VALUE_BOOLEAN;
		value->as.boolean = type == 'T';
	}
	else if (type != 'Z')
		parser_refuse(parser, "an unknown type");
	return true;
}

/* Parse UBJSON as XGBoost writes it. */
const Value *
document_parse_ubjson(const char *bytes, size_t size)
{
	Parser		parser;
	Value		value;

	parser_open(&parser, bytes, size);
	for (;;)
	{
		bool		is_complete = ubjson_value(&parser, &value);

		while (is_complete)
		{
			if (parser.depth == 0)
			{
				if (parser.at != parser.end)
					parser_refuse(&parser, "something after the model");
				return parser_close(&parser, &value);
			}
			parser_add(&parser, &value);
			is_complete = ubjson_next(&parser, &value);
		}
	}
}

