-- The table asked with and without enforcement, and its twin under PostgreSQL's own row security.
CREATE TABLE public.branch (id int PRIMARY KEY, code text NOT NULL UNIQUE);
INSERT INTO public.branch SELECT i, 'code ' || i FROM generate_series(0, {rows} / 20 - 1) i;
CREATE TABLE public.account (
    id int PRIMARY KEY, branch_id int NOT NULL, name text NOT NULL, email text NOT NULL, region text NOT NULL,
    balance numeric(12, 2) NOT NULL
);
INSERT INTO public.account
SELECT i, i % ({rows} / 20), 'name ' || i, 'user' || i || '@example.com', (ARRAY['US-EAST', 'US-WEST', 'US-CENTRAL'])[1 + i % 3], i + 0.42
FROM generate_series(0, {rows} - 1) i;
CREATE TABLE public.account_secured (LIKE public.account INCLUDING ALL);
INSERT INTO public.account_secured SELECT * FROM public.account;
CREATE INDEX account_branch ON public.account (branch_id);
CREATE INDEX account_name ON public.account (name text_pattern_ops);
CREATE INDEX account_lower ON public.account (lower(name));
CREATE INDEX account_balance ON public.account (balance);
CREATE INDEX account_secured_branch ON public.account_secured (branch_id);
CREATE INDEX account_secured_name ON public.account_secured (name text_pattern_ops);
CREATE INDEX account_secured_lower ON public.account_secured (lower(name));
CREATE INDEX account_secured_balance ON public.account_secured (balance);
ALTER TABLE public.account_secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_region ON public.account_secured USING (region = current_setting('app.region'));
GRANT SELECT ON public.account, public.account_secured, public.branch TO {role};
