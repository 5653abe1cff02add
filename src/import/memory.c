/*
 * memory.c
 *		The importer's memory: region, buffers, UTF-8 rules.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "refusal.h"

#define BLOCK_SIZE	((size_t) 64 * 1024)

typedef struct Block
{
	struct Block *next;
	size_t		used;
	size_t		size;
	uint64_t	bytes[];
} Block;

static Block *blocks;			/* the first one is being filled */

/* End for want of memory. */
static void __attribute__((noreturn))
refuse_for_memory(void)
{
	refuse(REFUSE_LIMIT, "Raise the memory limit of the import, or train a smaller model.",
		   "out of memory while reading the model");
}

/*
 * A new block; one that serves a single large object goes behind the block
 * being filled.
 */
static Block *
add_block(size_t size)
{
	bool		single = size > BLOCK_SIZE / 4;
	size_t		room = single ? size : BLOCK_SIZE;
	Block	   *block = malloc(sizeof(Block) + room);

	if (block == NULL)
		refuse_for_memory();
	block->used = 0;
	block->size = room;
	if (single && blocks != NULL)
	{
		block->next = blocks->next;
		blocks->next = block;
	}
	else
	{
		block->next = blocks;
		blocks = block;
	}
	return block;
}

/* See memory.h. */
void *
region_get(size_t count, size_t size)
{
	size_t		bytes;
	Block	   *block = blocks;
	void	   *result;

	if (size != 0 && count > (SIZE_MAX / 4) / size)
		refuse_for_memory();
	bytes = (count * size + 7) & ~(size_t) 7;
	if (block == NULL || block->size - block->used < bytes)
		block = add_block(bytes);
	result = (char *) block->bytes + block->used;
	block->used += bytes;
	return result;
}

/* See memory.h. */
void *
region_get_zero(size_t count, size_t size)
{
	void	   *result = region_get(count, size);

	memset(result, 0, count * size);
	return result;
}

/* See memory.h. */
char *
region_get_string(const char *bytes, size_t length)
{
	char	   *result = region_get(length + 1, 1);

	memcpy(result, bytes, length);
	result[length] = '\0';
	return result;
}

/* See memory.h. */
void
region_free(void)
{
	while (blocks != NULL)
	{
		Block	   *next = blocks->next;

		free(blocks);
		blocks = next;
	}
}

/* See memory.h. */
char *
buffer_reserve(Buffer *buffer, size_t more)
{
	if (buffer->capacity - buffer->size < more)
	{
		size_t		capacity = buffer->capacity + buffer->capacity / 2;
		char	   *data;

		if (more > SIZE_MAX / 4 - buffer->size)
			refuse_for_memory();
		if (capacity < buffer->size + more)
			capacity = buffer->size + more;
		if (capacity < 256)
			capacity = 256;
		data = realloc(buffer->data, capacity);
		if (data == NULL)
			refuse_for_memory();
		buffer->data = data;
		buffer->capacity = capacity;
	}
	return buffer->data + buffer->size;
}

/* Append bytes. */
void
buffer_add(Buffer *buffer, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	memcpy(buffer_reserve(buffer, size), bytes, size);
	buffer->size += size;
}

/* Append text as printf() forms it; no zero byte is counted. */
void
buffer_print(Buffer *buffer, const char *format,...)
{
	va_list		arguments;
	int			length;

	va_start(arguments, format);
	length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (length < 0)
		refuse_for_memory();
	buffer_reserve(buffer, (size_t) length + 1);
	va_start(arguments, format);
	vsnprintf(buffer->data + buffer->size, (size_t) length + 1, format, arguments);
	va_end(arguments);
	buffer->size += (size_t) length;
}

/* Give the bytes back. */
void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

/* Length of the valid UTF-8 character at bytes (up to end), 0 if there is none: the
 * table of RFC 3629, section 4. */
static size_t
text_character(const char *bytes, const char *end)
{
	const unsigned char *at = (const unsigned char *) bytes;
	size_t		left = (size_t) (end - bytes);
	size_t		length;
	unsigned char low = 0x80;
	unsigned char high = 0xBF;

	if (left == 0)
		return 0;
	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xC2 || at[0] > 0xF4)
		return 0;
	length = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
	if (left < length)
		return 0;
	if (at[0] == 0xE0)
		low = 0xA0;				/* overlong */
	else if (at[0] == 0xED)
		high = 0x9F;			/* surrogates */
	else if (at[0] == 0xF0)
		low = 0x90;				/* overlong */
	else if (at[0] == 0xF4)
		high = 0x8F;			/* beyond U+10FFFF */
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
	{
		if (at[i] < 0x80 || at[i] > 0xBF)
			return 0;
	}
	return length;
}

/* See memory.h. */
bool
text_is_valid(const char *bytes, size_t length)
{
	const char *end = bytes + length;

	while (bytes < end)
	{
		size_t		step = *bytes == '\0' ? 0 : text_character(bytes, end);

		if (step == 0)
			return false;
		bytes += step;
	}
	return true;
}

/* See memory.h. */
void
text_make_valid(char *string)
{
	char	   *end = string + strlen(string);

	while (string < end)
	{
		size_t		step = text_character(string, end);

		if (step == 0)
		{
			*string = '?';
			step = 1;
		}
		string += step;
	}
}
