/*
 * json.c
 *		A strict parser of JSON.
 *
 * Accepted on top of the standard (RFC 8259): NaN, Infinity and -Infinity,
 * which XGBoost writes.  Decimal numbers become the float32 nearest to the
 * token itself: going through float64 would round twice.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

/* Step over white space; the next character, or '\0' at the end. */
static char
json_peek(Parser *parser)
{
	while (parser->at < parser->end &&
		   (*parser->at == ' ' || *parser->at == '\n' ||
			*parser->at == '\t' || *parser->at == '\r'))
		parser->at++;
	return parser->at < parser->end ? *parser->at : '\0';
}

/* Step over a word if it is here. */
static bool
json_take(Parser *parser, const char *word)
{
	size_t		length = strlen(word);

	if ((size_t) (parser->end - parser->at) < length ||
		memcmp(parser->at, word, length) != 0)
		return false;
	parser->at += length;
	return true;
}

/* Step over digits, of which there must be one. */
static void
json_digits(Parser *parser)
{
	const char *first = parser->at;

	while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
		parser->at++;
	if (parser->at == first)
		parser_refuse(parser, "a digit is missing");
}

/*
 * The float32 nearest to a token of JSON's grammar.  The program never leaves
 * the "C" locale, so strtof() reads the token alike everywhere; it wants a
 * zero byte behind, hence the copy.
 */
static float
json_float(Parser *parser, const char *token)
{
	size_t		length = (size_t) (parser->at - token);
	char		copy[64];

	if (length < sizeof(copy))
	{
		memcpy(copy, token, length);
		copy[length] = '\0';
		return strtof(copy, NULL);
	}
	parser->text.size = 0;
	buffer_add(&parser->text, token, length);
	buffer_add(&parser->text, "", 1);
	return strtof(parser->text.data, NULL);
}

/* Read a number.  "-0" counts as a fraction, for an integer has no sign of zero. */
static Number
json_number(Parser *parser)
{
	const char *token = parser->at;
	bool		is_negative = json_take(parser, "-");
	const char *digits = parser->at;
	Number		number = {.is_integer = true};

	if (json_take(parser, "Infinity"))
		return (Number){.number = is_negative ? -INFINITY : INFINITY};
	if (!is_negative && json_take(parser, "NaN"))
		return (Number){.number = NAN};

	json_digits(parser);
	if (*digits == '0' && parser->at - digits > 1)
		parser_refuse(parser, "a number with a leading zero ends");
	if (parser->at - digits > 18 || (is_negative && *digits == '0'))
		number.is_integer = false;
	if (parser->at < parser->end && *parser->at == '.')
	{
		parser->at++;
		json_digits(parser);
		number.is_integer = false;
	}
	if (parser->at < parser->end && (*parser->at == 'e' || *parser->at == 'E'))
	{
		parser->at++;
		if (!json_take(parser, "+"))
			json_take(parser, "-");
		json_digits(parser);
		number.is_integer = false;
	}

	if (number.is_integer)
	{
		for (; digits < parser->at; digits++)
			number.integer = number.integer * 10 + (*digits - '0');
		if (is_negative)
			number.integer = -number.integer;
		number.number = (float) number.integer;
	}
	else
		number.number = json_float(parser, token);
	return number;
}

/* The value of four hexadecimal digits. */
static unsigned
json_hexadecimal(Parser *parser)
{
	unsigned	code = 0;

	for (int i = 0; i < 4; i++)
	{
		char		digit = parser->at < parser->end ? *parser->at : '\0';

		if (digit >= '0' && digit <= '9')
			code = code * 16 + (unsigned) (digit - '0');
		else if (digit >= 'a' && digit <= 'f')
			code = code * 16 + (unsigned) (digit - 'a' + 10);
		else if (digit >= 'A' && digit <= 'F')
			code = code * 16 + (unsigned) (digit - 'A' + 10);
		else
			parser_refuse(parser, "a hexadecimal digit is missing");
		parser->at++;
	}
	return code;
}

/* Read what follows "\u" and add the character to parser->text as UTF-8. */
static void
json_unicode(Parser *parser)
{
	unsigned	code = json_hexadecimal(parser);
	char		bytes[4];
	size_t		length;

	if (code >= 0xD800 && code <= 0xDBFF)
	{
		unsigned	low = json_take(parser, "\\u") ? json_hexadecimal(parser) : 0;

		if (low < 0xDC00 || low > 0xDFFF)
			parser_refuse(parser, "half of a surrogate pair");
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
	}
	else if (code >= 0xDC00 && code <= 0xDFFF)
		parser_refuse(parser, "half of a surrogate pair");

	if (code < 0x80)
	{
		bytes[0] = (char) code;
		length = 1;
	}
	else
	{
		length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
		for (size_t i = length - 1; i > 0; i--, code >>= 6)
			bytes[i] = (char) (0x80 | (code & 0x3F));
		bytes[0] = (char) ((0xF00 >> length) | code);
	}
	buffer_add(&parser->text, bytes, length);
}

/* Read an escape after its backslash and add the character to parser->text. */
static void
json_escape(Parser *parser)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *letter;

	if (json_take(parser, "u"))
	{
		json_unicode(parser);
		return;
	}
	letter = parser->at < parser->end && *parser->at != '\0' ?
		strchr(letters, *parser->at) : NULL;
	if (letter == NULL)
		parser_refuse(parser, "an unknown escape");
	parser->at++;
	buffer_add(&parser->text, &meanings[letter - letters], 1);
}

/* Read a string; the text stands at its opening quote. */
static const char *
json_string(Parser *parser, uint32_t *length)
{
	const char *first;

	if (!json_take(parser, "\""))
		parser_refuse(parser, "a quote is missing");
	parser->text.size = 0;
	first = parser->at;
	for (;;)
	{
		unsigned char byte = parser->at < parser->end ? (unsigned char) *parser->at : 0;

		if (byte < 0x20)
			parser_refuse(parser, "an unfinished string, or one with a control character,");
		if (byte == '"' || byte == '\\')
		{
			if (byte == '"' && parser->text.size == 0)
				break;			/* no escapes: take it as it is */
			buffer_add(&parser->text, first, (size_t) (parser->at - first));
			if (byte == '"')
				break;
			parser->at++;
			json_escape(parser);
			first = parser->at;
		}
		else
			parser->at++;
	}
	parser->at++;
	if (parser->text.size > 0)
	{
		*length = (uint32_t) parser->text.size;
		return parser_string(parser, parser->text.data, parser->text.size);
	}
	*length = (uint32_t) (parser->at - 1 - first);
	return parser_string(parser, first, *length);
}

/* Read a key and its colon into the innermost frame. */
static void
json_key(Parser *parser)
{
	uint32_t	length;

	json_peek(parser);
	parser->frames[parser->depth - 1].key = json_string(parser, &length);
	if (json_peek(parser) != ':')
		parser_refuse(parser, "a colon is missing");
	parser->at++;
}

/* Whether a character can begin a number. */
static bool
json_begins_number(char byte)
{
	return byte == '-' || (byte >= '0' && byte <= '9') || byte == 'N' || byte == 'I';
}

/* Read true or false. */
static bool
json_boolean(Parser *parser)
{
	if (json_take(parser, "true"))
		return true;
	if (!json_take(parser, "false"))
		parser_refuse(parser, "an unknown word");
	return false;
}

/* Read an array of numbers or of booleans behind its opening bracket. */
static Value
json_packed_array(Parser *parser)
{
	bool		is_numeric = json_begins_number(json_peek(parser));
	Value		value;

	parser_open_numbers(parser);
	for (;;)
	{
		char		byte = json_peek(parser);

		if (is_numeric && json_begins_number(byte))
		{
			Number		number = json_number(parser);

			parser_add_number(parser, &number);
		}
		else if (!is_numeric && (byte == 't' || byte == 'f'))
		{
			uint8_t		boolean = json_boolean(parser);

			buffer_add(&parser->numbers, &boolean, 1);
		}
		else
			parser_refuse(parser, "a value that does not fit into its array");
		byte = json_peek(parser);
		if (byte != ',' && byte != ']')
			parser_refuse(parser, "a comma or bracket is missing");
		parser->at++;
		if (byte == ']')
			break;
	}
	if (is_numeric)
		return parser_close_numbers(parser);
	value.kind = VALUE_BYTES;
	value.count = (uint32_t) parser->numbers.size;
	value.as.string = region_get_string(parser->numbers.data, parser->numbers.size);
	return value;
}

/*
 * Read a value, or open the object or list that begins here.  True when
 * *value is complete.
 */
static bool
json_value(Parser *parser, Value *value)
{
	char		byte = json_peek(parser);
	char		first;

	memset(value, 0, sizeof(*value));
	if (byte == '{' || byte == '[')
	{
		parser->at++;
		first = json_peek(parser);
		if (byte == '[' && (json_begins_number(first) || first == 't' || first == 'f'))
		{
			*value = json_packed_array(parser);
			return true;
		}
		parser_open_frame(parser, byte == '{');
		if (first == (byte == '{' ? '}' : ']'))
		{
			parser->at++;
			*value = parser_close_frame(parser);
			return true;
		}
		if (byte == '{')
			json_key(parser);
		return false;
	}
	if (byte == '"')
	{
		value->kind = VALUE_STRING;
		value->as.string = json_string(parser, &value->count);
	}
	else if (json_begins_number(byte))
	{
		Number		number = json_number(parser);

		value->kind = number.is_integer ? VALUE_INTEGER : VALUE_NUMBER;
		if (number.is_integer)
			value->as.integer = number.integer;
		else
			value->as.number = number.number;
	}
	else if (!json_take(parser, "null"))
	{
		value->kind = VALUE_BOOLEAN;
		value->as.boolean = json_boolean(parser);
	}
	return true;
}

/* Parse JSON. */
const Value *
document_parse_json(const char *bytes, size_t size)
{
	Parser		parser;
	Value		value;

	parser_open(&parser, bytes, size);
	for (;;)
	{
		if (!json_value(&parser, &value))
			continue;
		for (;;)				/* a value is complete; what may follow? */
		{
			Frame	   *frame;
			char		byte;

			byte = json_peek(&parser);
			if (parser.depth == 0)
			{
				if (parser.at != parser.end)
					parser_refuse(&parser, "something after the model");
				return parser_close(&parser, &value);
			}
			frame = &parser.frames[parser.depth - 1];
			parser_add(&parser, &value);
			if (byte != ',' && byte != (frame->is_object ? '}' : ']'))
				parser_refuse(&parser, "a comma or bracket is missing");
			parser.at++;
			if (byte == ',')
			{
				if (frame->is_object)
					json_key(&parser);
				break;
			}
			value = parser_close_frame(&parser);
		}
	}
}

