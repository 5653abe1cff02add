# Names of models, versions, features and categories are what they are in
# every encoding of the database: model files are UTF-8, columns, JSON and
# values are the database's.  (This file is UTF-8, and so are all clients here.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{PGCLIENTENCODING} = 'UTF8';
my $node = PgRisk->server('main');
$node->start;
$node->install('postgres');

# The bytes of a model with a numeric and a categorical feature, as a file
# would bring them.
sub artifact
{
	my ($amount, $country) = @_;

	return "'"
	  . $node->safe_psql('postgres', <<~"SQL") . "'::bytea";
		SELECT toy_model('{$amount,$country}', '[[0, 5, 1, -1, 2], [1, [1], 0, 4, 8]]',
			'reg:squarederror', base_score => '0')
		SQL
}

sub create_database
{
	my ($database, $options) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 $options");
	$node->safe_psql($database, 'CREATE EXTENSION pg_risk');
	return;
}

# With these names in this database, all ways of giving a transaction find the
# same features and categories.
sub names_are_found
{
	my ($what, $database, $model, $amount, $country, @categories) = @_;
	my $artifact = artifact($amount, $country);
	my ($zero, $one) = @categories;

	$node->safe_psql($database, <<~"SQL");
		SELECT risk.create_model('$model');
		SELECT risk.register_model('$model', '$one', $artifact, categories => '{"$country": ["$zero", "$one"]}');
		SELECT risk.promote('$model', '$one');
		CREATE TABLE "t_$model" ("$amount" real, "$country" text, score real, version text);
		CREATE TRIGGER score BEFORE INSERT ON "t_$model"
			FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('$model', 'score', 'version');
		INSERT INTO "t_$model" VALUES (1, '$zero'), (9, '$one'), (9, 'x');
		SQL
	is($node->safe_psql($database, qq(SELECT score, version FROM "t_$model")),
		"3|$one\n10|$one\n6|$one", "$what: the trigger");
	is($node->safe_psql($database, qq(SELECT risk.score_transaction('$model', t) FROM "t_$model" AS t)),
		"3\n10\n6", "$what: a row");
	is( $node->safe_psql($database, <<~"SQL"), "3\n10\n6", "$what: a JSON object");
		SELECT risk.score_transaction('$model', j) FROM unnest(ARRAY['{"$amount": 1, "$country": "$zero"}',
			'{"$amount": 9, "$country": "$one"}', '{"$amount": 9, "$country": "x"}']::jsonb[]) AS j
		SQL
	is($node->safe_psql($database, 'SELECT feature_names FROM risk.model_versions_info WHERE ' . "model = '$model'"),
		"{$amount,$country}", "$what: the catalog");
	like($node->error_of($database, qq(SELECT risk.score_transaction('$model', '{"$amount": 9}'::jsonb, '$zero'))),
		qr/^42704: version "$zero" of model "$model" does not exist/, "$what: an error");
	return;
}

names_are_found('UTF8', 'postgres', 'カード', '金額', '国', 'ドイツ', '日本');

create_database('latin', "ENCODING 'LATIN1' LOCALE 'C'");
names_are_found('LATIN1', 'latin', 'dépenses', 'montant_é', 'país', 'Österreich', 'España');
like($node->error_of('latin', "SELECT risk.register_model('dépenses', 'x', " . artifact('金額', 'a') . ')'),
	qr/^22P05: character with byte sequence .* in encoding "UTF8" has no equivalent in encoding "LATIN1"/,
	'LATIN1: names that it does not have are refused');

create_database('japanese', "ENCODING 'EUC_JP' LOCALE 'C'");
names_are_found('EUC_JP', 'japanese', 'カード', '金額', '国', 'ドイツ', '日本');

create_database('bytes', "ENCODING 'SQL_ASCII' LOCALE 'C'");
names_are_found('SQL_ASCII', 'bytes', 'カード', 'montant_é', '国', 'Österreich', '日本');

# Where the locale folds and orders letters in its own way, names still are
# their bytes.
SKIP:
{
	skip 'PostgreSQL was built without ICU', 11 unless $node->config_data('--configure') =~ /--with-icu/;
	create_database('turkish', "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C' ENCODING 'UTF8'");
	names_are_found('ICU', 'turkish', 'kart', 'Işık', 'ışık', 'İstanbul', 'istanbul');
	names_are_found('ICU, other case', 'turkish', 'KART', 'ışık', 'Işık', 'istanbul', 'İstanbul');
	is($node->safe_psql('turkish', "SELECT risk.score_transaction('kart', '{9,1}'::real[])"),
		10, 'ICU: one is not taken for the other');
}

done_testing();
