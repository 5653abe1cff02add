/*
 * importing.h
 *		From the bytes of a model file to a forest image, as the importer's main
 *		program goes, without libxgboost.
 */
#ifndef FUZZ_IMPORTING_H
#define FUZZ_IMPORTING_H

#include "import/model.h"

typedef struct Imported
{
	const Model *model;
	ForestSource source;
	int64_t		rounds;			/* 0: all */
	void	   *image;
	size_t		image_size;
} Imported;

/*
 * Refuses what cannot be imported.  as_converted: the model is read as if
 * libxgboost had made it of an old binary file.
 */
extern void import_model(const char *bytes, size_t size, bool as_converted, float missing,
						 bool best_iteration, Imported *imported);

#endif							/* FUZZ_IMPORTING_H */
