/*
 * importing.c
 *		From the bytes of a model file to a forest image; see importing.h.
 */
#include <string.h>

#include "fuzz.h"
#include "import/memory.h"
#include "import/refusal.h"
#include "importing.h"

/* See importing.h. */
void
import_model(const char *bytes, size_t size, bool as_converted, float missing,
			 bool best_iteration, Imported *imported)
{
	ModelFormat format = format_of(bytes, size);
	const Value *document;
	const char *why;

	memset(imported, 0, sizeof(*imported));
	if (format == FORMAT_BINARY)
		refuse(REFUSE_UNSUPPORTED, NULL, "model of XGBoost %s is in the old binary format",
			   format_binary_release(bytes, size));
	document = format == FORMAT_JSON ? document_parse_json(bytes, size) :
		document_parse_ubjson(bytes, size);
	imported->model = model_read(document, as_converted ? FORMAT_BINARY : format);
	if (best_iteration && imported->model->best_iteration >= 0 &&
		imported->model->best_iteration < imported->model->rounds &&
		imported->model->booster != BOOSTER_GBLINEAR)
		imported->rounds = imported->model->best_iteration + 1;
	model_source(imported->model, imported->rounds, missing, &imported->source);
	imported->image = forest_build(&imported->source, &imported->image_size, &why);
	if (imported->image == NULL)
		refuse(strstr(why, "memory") != NULL ? REFUSE_LIMIT : REFUSE_UNSUPPORTED, NULL,
			   "cannot make a forest of the model: %s", why);
	why = forest_check(imported->image, imported->image_size);
	if (why != NULL)
		fuzz_fail("a forest that was built is not sound: %s", why);
}
