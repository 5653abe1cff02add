/*
 * library.h
 *		libxgboost: all calls of it, and the files written for it.
 */
#ifndef IMPORT_LIBRARY_H
#define IMPORT_LIBRARY_H

#include "memory.h"
#include "model.h"

/*
 * Get libxgboost ready: one thread, no talk, and the release that this program
 * was compiled for (else a refusal: the library's name does not tell releases
 * with different interfaces apart).
 */
extern void library_open(void);

/* The version of libxgboost. */
extern const char *library_version(void);

/* Turn a file in the old binary format into UBJSON; refuses what it cannot. */
extern void library_convert(const char *bytes, size_t size, Buffer *ubjson);

/* A model loaded into libxgboost, and what it was loaded from. */
typedef struct LibraryModel
{
	void	   *booster;
	const Model *model;
	bool		has_objective;	/* predictions are those of the objective */
	bool		wants_margins;	/* base margins come with the rows */
	Buffer		read_as;		/* what was changed for this release */
} LibraryModel;

/*
 * Write the model in the dialect of this release, of known fields only, and
 * load it.
 */
extern void library_load(const Model *model, LibraryModel *loaded);

/*
 * Score rows, [num_rows][num_features], NaN or missing is missing, with the
 * first rounds (0: all).  margins: [num_rows][num_outputs]; predictions, if
 * not NULL: [num_rows][num_predictions].
 */
extern void library_predict(const LibraryModel *loaded, const float *rows,
							uint32_t num_rows, float missing, int64_t rounds,
							float *margins, float *predictions,
							uint32_t num_predictions);

/* The contributions to margins (pred_contribs) likewise:
 * [num_rows][num_outputs][num_features + 1], the expected margin last. */
extern void library_contributions(const LibraryModel *loaded, const float *rows,
								  uint32_t num_rows, float missing, int64_t rounds,
								  float *contributions);

/* dialect.c: the model as UBJSON for a release of libxgboost. */
extern void dialect_write(const Model *model, int release, Buffer *ubjson,
						  LibraryModel *loaded);

#endif							/* IMPORT_LIBRARY_H */
