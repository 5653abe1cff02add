/*
 * parser.h
 *		What the parsers of JSON and UBJSON share: the state of a parse and the
 *		building of the tree.  Private to document.c, json.c and ubjson.c.
 */
#ifndef IMPORT_PARSER_H
#define IMPORT_PARSER_H

#include "document.h"
#include "memory.h"

#define MAX_NESTING		64

/* An object or list that is being read. */
typedef struct Frame
{
	bool		is_object;
	bool		is_counted;		/* UBJSON list that told its length */
	uint64_t	left;			/* elements to come, if so */
	size_t		base;			/* its first entry in Parser.entries */
	const char *key;			/* of the member whose value is next */
} Frame;

typedef struct Parser
{
	const char *start;
	const char *at;
	const char *end;
	int			depth;
	Frame		frames[MAX_NESTING];
	Member	   *entries;		/* finished values of unfinished frames */
	size_t		num_entries;
	size_t		max_entries;
	Buffer		text;			/* a string with escapes */

	/* the array of numbers being read; there is never more than one */
	Buffer		numbers;		/* int64 until the first fraction, then float */
	size_t		num_numbers;
	bool		has_fraction;
	bool		has_long;		/* an integer beyond 32 bits */
} Parser;

typedef struct Number
{
	bool		is_integer;
	int64_t		integer;
	float		number;			/* set in either case */
} Number;

/* End because the text is not what it should be here. */
extern void parser_refuse(const Parser *parser, const char *what)
			__attribute__((noreturn));

extern void parser_open(Parser *parser, const char *bytes, size_t size);
extern const Value *parser_close(Parser *parser, const Value *root);

/* Objects and lists: open, add the values, close. */
extern Frame *parser_open_frame(Parser *parser, bool is_object);
extern void parser_add(Parser *parser, const Value *value);
extern Value parser_close_frame(Parser *parser);

/* Arrays of numbers: open, add the numbers, close. */
extern void parser_open_numbers(Parser *parser);
extern void parser_add_number(Parser *parser, const Number *number);
extern Value parser_close_numbers(Parser *parser);

/* Text of the document as a string of the tree. */
extern const char *parser_string(const Parser *parser, const char *bytes, size_t length);

#endif							/* IMPORT_PARSER_H */
