/*
 * mutate_image.c
 *		Mutations of forest images that know what stands where: the header's
 *		counts, and entries of each section.
 */
#include <string.h>

#include "forest/layout.h"
#include "fuzz.h"

/* Where the sections of the image are, if its header makes sense. */
static bool
sections_of(const Input *input, ForestHeader *header, ForestLayout *layout)
{
	if (input->size < sizeof(ForestHeader))
		return false;
	memcpy(header, input->data, sizeof(*header));
	if (forest_check_header(header) != NULL)
		return false;
	forest_lay_out(header, layout);
	return layout->size == input->size;
}

/* A number near another, or one that is special. */
static uint32_t
odd_word(uint32_t word, Random *random)
{
	static const uint32_t words[] = {0, 1, 2, 3, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7FFFFFFF,
	0x80000000, 0xFFFFFFFF, 0x00100000, 0x00004000, 0x01000001, 0x10000000, 0x00000100};

	switch (random_below(random, 4))
	{
		case 0:
			return words[random_below(random, sizeof(words) / sizeof(words[0]))];
		case 1:
			return word ^ UINT32_C(1) << random_below(random, 32);
		default:
			return word + random_below(random, 9) - 4;
	}
}

/* Change the word at a place. */
static void
change_word(Input *input, size_t at, Random *random)
{
	uint32_t	word;

	if (at > input->size || input->size - at < sizeof(word))
		return;
	memcpy(&word, input->data + at, sizeof(word));
	word = odd_word(word, random);
	memcpy(input->data + at, &word, sizeof(word));
}

/* Make the header tell the size that the image has. */
static void
tell_size(Input *input)
{
	uint64_t	size = input->size;

	if (input->size >= sizeof(ForestHeader))
		memcpy(input->data + offsetof(ForestHeader, image_size), &size, sizeof(size));
}

/* A section chosen at random that is not empty: its place, entries and width. */
static bool
choose_section(const ForestHeader *header, const ForestLayout *layout, Random *random,
			   size_t *at, uint64_t *count, size_t *width)
{
	uint64_t	outputs = header->num_outputs;

	*width = 4;
	switch (random_below(random, 8))
	{
		case 0:
			*at = layout->base_margins;
			*count = outputs;
			break;
		case 1:
			*at = layout->slots;
			*count = header->num_slots;
			*width = sizeof(ForestSlot);
			break;
		case 2:
			*at = layout->trees;
			*count = header->num_trees;
			*width = sizeof(ForestTree);
			break;
		case 3:
		case 4:
			*at = layout->nodes;
			*count = header->num_nodes;
			*width = sizeof(ForestNode);
			break;
		case 5:
			*at = layout->category_sets;
			*count = header->num_category_words;
			break;
		case 6:
			*at = layout->splits;
			*count = (layout->size - layout->splits) / sizeof(ForestSplit);
			*width = sizeof(ForestSplit);
			break;
		default:
			*at = layout->leaf_vectors;
			*count = header->num_leaf_vectors * outputs;
			break;
	}
	return *count > 0;
}

/* Change, exchange, insert or remove an entry of some section. */
static void
change_section(Input *input, const ForestHeader *header, const ForestLayout *layout,
			   Random *random)
{
	size_t		section;
	uint64_t	count;
	size_t		width;
	size_t		at;
	size_t		from;

	if (!choose_section(header, layout, random, &section, &count, &width))
		return;
	at = section + width * random_below(random, count);
	from = section + width * random_below(random, count);
	switch (random_below(random, 8))
	{
		case 0:
			input_copy(input, at, width, from, width);
			break;
		case 1:
			input_replace(input, at, width, NULL, 0);
			break;
		case 2:
			input_copy(input, at, 0, from, width);
			break;
		default:
			change_word(input, at + 4 * random_below(random, width / 4), random);
			break;
	}
	if (random_below(random, 2) == 0)
		tell_size(input);
}

/* See fuzz.h. */
void
mutate_image(Input *input, const Input *other, Random *random)
{
	uint32_t	changes = 1 + random_below(random, 3);

	(void) other;
	while (changes-- > 0)
	{
		ForestHeader header;
		ForestLayout layout;

		if (random_below(random, 4) == 0)
		{
			change_word(input, 4 * random_below(random, sizeof(ForestHeader) / 4), random);
			if (random_below(random, 2) == 0)
				tell_size(input);
		}
		else if (sections_of(input, &header, &layout))
			change_section(input, &header, &layout, random);
		else
			change_word(input, 4 * random_below(random, input->size / 4), random);
	}
}
