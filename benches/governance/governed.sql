\set aid random(1, 100000 * :scale)
SELECT lastname, abalance FROM public.governed_accounts WHERE aid = :aid;
