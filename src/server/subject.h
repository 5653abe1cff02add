/*
 * subject.h
 *		What a transaction is about: entity, event time, cohorts.
 */
#ifndef PG_RISK_SUBJECT_H
#define PG_RISK_SUBJECT_H

#include "bind.h"
#include "route.h"

/* What stands before the pointers is also its form in the queue; see shadow.c. */
typedef struct Subject
{
	TimestampTz event_time;
	bool		has_event_time;
	int			num_cohorts;

	char	   *entity;			/* NULL: not known */
	char	  **cohorts;		/* names */
	char	  **values;			/* as text; NULL: none */
} Subject;

/* How a row type's columns are read; see subject.c. */
typedef struct SubjectReader SubjectReader;

extern SubjectReader *subject_reader(const Route *route, TupleDesc tupdesc);
extern text *subject_entity(const SubjectReader *reader, TupleTableSlot *slot);
extern void subject_of_row(const SubjectReader *reader, const Route *route,
						   TupleTableSlot *slot, Subject *subject);
extern void subject_of_jsonb(const Route *route, const Jsonb *jsonb, Subject *subject);
extern void subject_unknown(const Route *route, Subject *subject);
extern Jsonb *subject_cohort(const Subject *subject);

#endif							/* PG_RISK_SUBJECT_H */
