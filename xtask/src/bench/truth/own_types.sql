-- Types of the benchmark's own: of each kind that a user can make. The second composite has lost an attribute.
CREATE SCHEMA truth;
CREATE DOMAIN truth.amount AS numeric NOT NULL;
CREATE TYPE truth.mood AS ENUM ('glad', 'sad', 'so so');
CREATE TYPE truth.pair AS (a numeric, b aclitem);
CREATE TYPE truth.nested AS (n int, p truth.pair);
CREATE TYPE truth.shrunk AS (a numeric, gone int, b text);
ALTER TYPE truth.shrunk DROP ATTRIBUTE gone;
CREATE TYPE truth.span AS RANGE (subtype = text, multirange_type_name = truth.multispan);
CREATE DOMAIN truth.words AS text[];
