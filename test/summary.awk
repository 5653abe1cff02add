# summary.awk: what one test program or schedule reported.
#
# Reads TAP (PostgreSQL::Test, the unit tests, pg_regress from 16 on) and
# pg_regress's older "test x ... ok".  Prints one tagged line for each thing
# found: "count PASSED FAILED SKIPPED", "skip REASON", "fail TEXT".
#
# Set with -v: name, the program's; status, its exit status; expected, how many
# tests there must be (0: what the plan says).

function fail(text)
{
	failed++
	print "fail " text
}

# The text after "# SKIP" of a TAP line.
function reason(line)
{
	sub(/.*# *[Ss][Kk][Ii][Pp][A-Za-z]* */, "", line)
	return line == "" ? "no reason given" : line
}

/^1\.\.0( |$)/ && !planned {
	planned = 1
	skipped++
	print "skip " reason($0)
	next
}
/^1\.\.[0-9]+/ {
	planned = 1
	plan = substr($1, 4) + 0
}
/^ok +[0-9]+.*# *[Ss][Kk][Ii][Pp]/ {
	skipped++
	ran++
	print "skip " reason($0)
	next
}
/^ok +[0-9]+/ || /^(test |  ).* \.\.\. +ok( |$)/ {
	passed++
	ran++
	explaining = 0
	next
}
/^not ok +[0-9]+/ || /^(test |  ).* \.\.\. +(FAILED|failed)/ {
	ran++
	fail($0)
	explaining = 40
	next
}
/^Bail out!/ { fail($0) }

# What a failed test has to say follows it.
explaining && /^#/ && !/^# .*(tests? failed|can be viewed|can be found|see$|see above)/ {
	print "fail " $0
	explaining--
}

END {
	if (expected ? ran != expected : planned && plan && ran != plan)
		fail(name ": " (expected ? expected : plan) " tests were to run, " ran + 0 " did")
	else if (!planned && !expected)
		fail(name ": ended without a plan")
	if (status && !failed)
		fail(name ": ended with status " status)
	print "count " passed + 0, failed + 0, skipped + 0
}
