/*
 * report.h
 *		What an import tells: one line of JSON for the server, or a page for
 *		people.
 */
#ifndef IMPORT_REPORT_H
#define IMPORT_REPORT_H

#include <stdio.h>

#include "certify.h"

typedef struct Report
{
	const Model *model;
	const ForestHeader *header; /* of the image */
	const Certificate *certificate;
	const char *release_text;	/* of the file, which may be a converted one */
	int64_t		used_rounds;
} Report;

extern void report_as_json(const Report *report, FILE *stream);
extern void report_as_text(const Report *report, FILE *stream);

#endif							/* IMPORT_REPORT_H */
