/*
 * route.h
 *		The roles of a model's versions at this moment, and who scores what.
 */
#ifndef PG_RISK_ROUTE_H
#define PG_RISK_ROUTE_H

extern double route_entity_percent(const char *entity, int length, int64 salt);

#endif							/* PG_RISK_ROUTE_H */
