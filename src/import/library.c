/*
 * library.c
 *		All calls of libxgboost.
 *
 * Whatever the library prints goes to /dev/null (see confine.c).  Its errors
 * are cut down to their first line, without time, file and line number.
 */
#include <dlfcn.h>
#include <string.h>

#include <xgboost/c_api.h>
#include <xgboost/version_config.h>

#include "library.h"
#include "refusal.h"

#define BINARY_LAST_RELEASE		RELEASE(3, 0)	/* that reads the old format */

static int	present_release;
static char present_version[32];

/* Swallow the library's messages. */
static void
ignore_message(const char *message)
{
	(void) message;
}

/*
 * The last error as a short message in our style.  Its text may be anything;
 * refuse() sees to UTF-8.
 */
static void
describe_error(char *message, size_t size)
{
	const char *error = XGBGetLastError();
	const char *colon;
	char	   *end;

	if (error[0] == '[' && strstr(error, "] ") != NULL)
		error = strstr(error, "] ") + 2;
	colon = strstr(error, ": ");
	if (colon != NULL && memchr(error, '/', (size_t) (colon - error)) != NULL)
		error = colon + 2;
	while (*error == '\n' || *error == ' ')
		error++;
	strncpy(message, error, size - 1);
	message[size - 1] = '\0';
	message[strcspn(message, "\n")] = '\0';
	end = message + strlen(message);
	while (end > message && strchr(" .:,", end[-1]) != NULL)
		*--end = '\0';
}

/* Refuse with the library's last error. */
static void __attribute__((noreturn))
refuse_for_library(const char *what)
{
	char		message[256];

	describe_error(message, sizeof(message));
	if (strstr(message, "bad_alloc") != NULL || strstr(message, "allocate") != NULL)
		refuse(REFUSE_LIMIT,
			   "Raise the memory limit of the import, or train a smaller model.",
			   "libxgboost ran out of memory");
	refuse(REFUSE_UNSUPPORTED,
		   "Try a model saved by another release of XGBoost, or install a newer libxgboost.",
		   "libxgboost %s cannot %s: %s", present_version, what, message);
}

/*
 * See library.h.  OpenMP has read its environment before main(), so it is told
 * by a call; the library's own setting "nthread" does not reach all of it.
 */
void
library_open(void)
{
	void		(*set_threads) (int);
	int			major;
	int			minor;
	int			patch;

	*(void **) &set_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
	if (set_threads != NULL)
		set_threads(1);
	XGBoostVersion(&major, &minor, &patch);
	present_release = RELEASE(major, minor);
	snprintf(present_version, sizeof(present_version), "%d.%d.%d", major, minor, patch);
	if (present_release != RELEASE(XGBOOST_VER_MAJOR, XGBOOST_VER_MINOR))
		refuse(REFUSE_UNSUPPORTED, "Build pg_risk again with the libxgboost that is installed.",
			   "libxgboost is %s, but this program was compiled for %d.%d",
			   present_version, XGBOOST_VER_MAJOR, XGBOOST_VER_MINOR);
	XGBRegisterLogCallback(ignore_message);
}

/* See library.h. */
const char *
library_version(void)
{
	return present_version;
}

/* Load bytes into a new booster. */
static BoosterHandle
load_booster(const char *bytes, size_t size)
{
	BoosterHandle booster;

	if (XGBoosterCreate(NULL, 0, &booster) != 0 ||
		XGBoosterSetParam(booster, "nthread", "1") != 0 ||
		XGBoosterLoadModelFromBuffer(booster, bytes, size) != 0)
		refuse_for_library("load the model");
	return booster;
}

/*
 * See library.h.  The only place where the library gets a stranger's bytes:
 * nothing but the library knows that format well.
 */
void
library_convert(const char *bytes, size_t size, Buffer *ubjson)
{
	BoosterHandle booster;
	bst_ulong	length;
	const char *result;

	if (present_release > BINARY_LAST_RELEASE)
		refuse(REFUSE_UNSUPPORTED,
			   "Convert the model with XGBoost 3.0 or older: load it and call Booster.save_model(\"model.ubj\").",
			   "libxgboost %s no longer reads XGBoost's old binary format", present_version);
	booster = load_booster(bytes, size);
	if (XGBoosterSaveModelToBuffer(booster, "{\"format\": \"ubj\"}", &length, &result) != 0)
		refuse_for_library("convert the model");
	buffer_add(ubjson, result, length);
	XGBoosterFree(booster);
}

/* See library.h. */
void
library_load(const Model *model, LibraryModel *loaded)
{
	Buffer		ubjson = {0};

	memset(loaded, 0, sizeof(*loaded));
	loaded->model = model;
	dialect_write(model, present_release, &ubjson, loaded);
	if (loaded->read_as.size == 0)
		buffer_print(&loaded->read_as, "as written");
	loaded->booster = load_booster(ubjson.data, ubjson.size);
	buffer_free(&ubjson);
}

/* One kind of prediction: 0 predictions, 1 margins, 2 contributions
 * (XGBoosterPredictFromDMatrix). */
static void
predict_kind(const LibraryModel *loaded, DMatrixHandle rows, int kind, int64_t rounds,
			 float *values, uint64_t count)
{
	char		config[160];
	const bst_ulong *shape;
	bst_ulong	dimensions;
	const float *result;
	uint64_t	length = 1;

	snprintf(config, sizeof(config),
			 "{\"type\": %d, \"training\": false, \"iteration_begin\": 0, "
			 "\"iteration_end\": %lld, \"strict_shape\": false}", kind, (long long) rounds);
	if (XGBoosterPredictFromDMatrix(loaded->booster, rows, config, &shape, &dimensions,
									&result) != 0)
		refuse_for_library("predict with the model");
	for (bst_ulong i = 0; i < dimensions; i++)
		length *= shape[i];
	if (length != count)
		refuse(REFUSE_UNCERTIFIED, "Report this model to the authors of pg_risk.",
			   "libxgboost gives %llu values where %llu are expected",
			   (unsigned long long) length, (unsigned long long) count);
	memcpy(values, result, count * sizeof(float));
}

/* Hand rows to the library, with base margins if the model needs them. */
static DMatrixHandle
take_rows(const LibraryModel *loaded, const float *rows, uint32_t num_rows, float missing)
{
	const Model *model = loaded->model;
	uint64_t	num_margins = (uint64_t) num_rows * model->num_outputs;
	DMatrixHandle matrix;

	if (XGDMatrixCreateFromMat(rows, num_rows, model->num_features, missing, &matrix) != 0)
		refuse_for_library("take the rows");
	if (loaded->wants_margins)
	{
		float	   *margins = region_get(num_margins, sizeof(float));

		for (uint64_t i = 0; i < num_margins; i++)
			margins[i] = model->base_margins[i % model->num_outputs];
		if (XGDMatrixSetFloatInfo(matrix, "base_margin", margins, num_margins) != 0)
			refuse_for_library("take the base margins");
	}
	return matrix;
}

/* See library.h. */
void
library_predict(const LibraryModel *loaded, const float *rows, uint32_t num_rows,
				float missing, int64_t rounds, float *margins, float *predictions,
				uint32_t num_predictions)
{
	DMatrixHandle matrix = take_rows(loaded, rows, num_rows, missing);

	predict_kind(loaded, matrix, 1, rounds, margins,
				 (uint64_t) num_rows * loaded->model->num_outputs);
	if (predictions != NULL)
		predict_kind(loaded, matrix, 0, rounds, predictions,
					 (uint64_t) num_rows * num_predictions);
	XGDMatrixFree(matrix);
}

/* See library.h. */
void
library_contributions(const LibraryModel *loaded, const float *rows, uint32_t num_rows,
					  float missing, int64_t rounds, float *contributions)
{
	const Model *model = loaded->model;
	DMatrixHandle matrix = take_rows(loaded, rows, num_rows, missing);

	predict_kind(loaded, matrix, 2, rounds, contributions,
				 (uint64_t) num_rows * model->num_outputs * (model->num_features + 1));
	XGDMatrixFree(matrix);
}
