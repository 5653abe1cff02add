/*
 * format.c
 *		Which format a file has, from its first bytes, and what to do with
 *		files that only look like models.
 *
 * An old binary file begins with a structure of 136 bytes (LearnerModelParam-
 * Legacy of src/learner.cc), perhaps after the letters "binf", then come
 * length and name of the objective, and of the booster.
 */
#include <string.h>

#include "memory.h"
#include "model.h"
#include "refusal.h"

#define BINARY_HEADER_SIZE	136
#define BINARY_MAJOR_AT		20

static const char save_hint[] =
"Save the model with Booster.save_model(\"model.ubj\") and register that file.";

/* What other files begin with, and what to tell. */
static const struct
{
	const char *bytes;
	size_t		size;
	const char *what;
	const char *hint;
}			strangers[] =
{
	{"\xEF\xBB\xBF", 3, "file begins with a byte order mark",
	"Remove the first three bytes of the file."},
	{"\x1F\x8B", 2, "file is compressed with gzip", "Decompress the file first."},
	{"\x28\xB5\x2F\xFD", 4, "file is compressed with zstd", "Decompress the file first."},
	{"PK\x03\x04", 4, "file is a zip archive", "Extract the model from the archive first."},
	{"\x80\x02", 2, "file is a Python pickle, not a model file", save_hint},
	{"\x80\x03", 2, "file is a Python pickle, not a model file", save_hint},
	{"\x80\x04", 2, "file is a Python pickle, not a model file", save_hint},
	{"\x80\x05", 2, "file is a Python pickle, not a model file", save_hint},
	{"RDX", 3, "file is R data, not a model file",
	"Save the model with xgb.save(model, \"model.ubj\") and register that file."},
	{"tree\n", 5, "file is a LightGBM model", "Only XGBoost models can be registered."},
	{"booster[", 8, "file is a text dump of trees, not a model file", save_hint},
	{"[", 1, "file is a JSON dump of trees, not a model file", save_hint},
	{"\x08\x03\x12", 3, "file is an ONNX model", "Only XGBoost models can be registered."},
	{"\x08\x04\x12", 3, "file is an ONNX model", "Only XGBoost models can be registered."},
	{"\x08\x05\x12", 3, "file is an ONNX model", "Only XGBoost models can be registered."},
	{"\x08\x06\x12", 3, "file is an ONNX model", "Only XGBoost models can be registered."},
	{"\x08\x07\x12", 3, "file is an ONNX model", "Only XGBoost models can be registered."},
	{"\x08\x08\x12", 3, "file is an ONNX model", "Only XGBoost models can be registered."},
	{"CBM1", 4, "file is a CatBoost model", "Only XGBoost models can be registered."},
	{"<?xml", 5, "file is XML, not a model file", save_hint},
	{"bs64", 4, "file is a binary model in base64", save_hint},
	{"CONFIG-offset:", 14, "file is a memory snapshot, not a model file", save_hint},
};

/* A little-endian number of the old binary format. */
static uint64_t
binary_number(const char *bytes, unsigned width)
{
	uint64_t	number = 0;

	for (unsigned i = width; i > 0; i--)
		number = number << 8 | (unsigned char) bytes[i - 1];
	return number;
}

/* The header of an old binary model that begins here, or NULL. */
static const char *
binary_header(const char *bytes, size_t size)
{
	const char *name;
	uint64_t	length;

	if (size >= 4 && memcmp(bytes, "binf", 4) == 0)
	{
		bytes += 4;
		size -= 4;
	}
	if (size < BINARY_HEADER_SIZE + 8)
		return NULL;
	length = binary_number(bytes + BINARY_HEADER_SIZE, 8);
	if (length == 0 || length > 64 || size < BINARY_HEADER_SIZE + 8 + length)
		return NULL;
	name = bytes + BINARY_HEADER_SIZE + 8;
	for (uint64_t i = 0; i < length; i++)
	{
		if (name[i] <= ' ' || name[i] > '~')
			return NULL;
	}
	return bytes;
}

/*
 * Whether a header of Java strings precedes a binary model, as XGBoost4J-Spark
 * writes it: the first string is _cls_ or _reg_.
 */
static bool
is_spark(const char *bytes, size_t size)
{
	return size >= 7 && (memcmp(bytes, "\0\005_cls_", 7) == 0 ||
						 memcmp(bytes, "\0\005_reg_", 7) == 0);
}

/* See model.h. */
ModelFormat
format_of(const char *bytes, size_t size)
{
	size_t		skip = 0;

	if (size == 0)
		refuse(REFUSE_MALFORMED, save_hint, "model is empty");
	while (skip < size && strchr(" \t\r\n", bytes[skip]) != NULL && bytes[skip] != '\0')
		skip++;
	if (size - skip >= 2 && bytes[skip] == '{')
	{
		if (strchr(" \t\r\n\"}", bytes[skip + 1]) != NULL && bytes[skip + 1] != '\0')
			return FORMAT_JSON;
		if (skip == 0)
			return FORMAT_UBJSON;
	}
	if (binary_header(bytes, size) != NULL)
		return FORMAT_BINARY;
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
	{
		if (size - skip >= strangers[i].size &&
			memcmp(bytes + skip, strangers[i].bytes, strangers[i].size) == 0)
			refuse(REFUSE_MALFORMED, strangers[i].hint, "%s", strangers[i].what);
	}
	if (is_spark(bytes, size))
		refuse(REFUSE_MALFORMED,
			   "Save the native booster (model.nativeBooster.saveModel) and register that file.",
			   "file is a model in the wrapper of XGBoost4J-Spark");
	refuse(REFUSE_MALFORMED, save_hint, "file is not an XGBoost model");
}

/* See model.h; releases before 1.0 left the numbers zero. */
const char *
format_binary_release(const char *bytes, size_t size)
{
	const char *header = binary_header(bytes, size);
	unsigned	major = (unsigned) binary_number(header + BINARY_MAJOR_AT, 4);
	unsigned	minor = (unsigned) binary_number(header + BINARY_MAJOR_AT + 4, 4);
	Buffer		text = {0};

	if (major == 0 || major > 9 || minor > 99)
		return "before 1.0";
	buffer_print(&text, "%u.%u", major, minor);
	return region_get_string(text.data, text.size);
}
