-- The story's tables. Small on purpose: every row of an answer can be checked by eye.
CREATE TABLE public.customer_orders (
    order_id            integer PRIMARY KEY,
    lastname            varchar(40) NOT NULL,
    region              varchar(16) NOT NULL,
    order_total         numeric(12,2) NOT NULL,
    total_with_shipping numeric(12,2) NOT NULL
);
COMMENT ON TABLE public.customer_orders IS 'Orders of the web shop, one row each';
COMMENT ON COLUMN public.customer_orders.order_id IS 'Number printed on the invoice';
COMMENT ON COLUMN public.customer_orders.lastname IS 'Last name of the person who ordered';
COMMENT ON COLUMN public.customer_orders.region IS 'Sales region: US-EAST, US-CENTRAL, US-WEST';
COMMENT ON COLUMN public.customer_orders.order_total IS 'Goods, in US dollars';
COMMENT ON COLUMN public.customer_orders.total_with_shipping IS 'Goods and shipping, in US dollars';
CREATE INDEX customer_orders_region ON public.customer_orders (region);
INSERT INTO public.customer_orders VALUES
    (1, 'Abernathy', 'US-EAST',    89.00,  95.67),
    (2, 'Brightwater', 'US-EAST',  117.00, 127.95),
    (3, 'Castellanos', 'US-WEST',  225.00, 245.73),
    (4, 'Donnelly',  'US-CENTRAL', 356.00, 370.16),
    (5, 'Eriksen',   'US-EAST',    50.00,  54.13);

CREATE TABLE public.campaign_tools (
    tool_id     integer PRIMARY KEY,
    name        varchar(40) NOT NULL UNIQUE,
    description text NOT NULL,
    enabled     boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE public.campaign_tools IS 'What the marketing agent can do; its own table, no customer data';
INSERT INTO public.campaign_tools VALUES
    (1, 'segment', 'Groups customers by what they ordered', true),
    (2, 'forecast', 'Estimates orders per region for the next quarter', true),
    (3, 'draft_email', 'Writes a first draft of a campaign e-mail', false);

-- No policy speaks of this one, so nobody reaches it.
CREATE TABLE public.payroll (
    employee_id integer PRIMARY KEY,
    lastname    varchar(40) NOT NULL,
    salary      numeric(12,2) NOT NULL
);
COMMENT ON TABLE public.payroll IS 'Salaries; no policy grants it to anybody';
INSERT INTO public.payroll VALUES
    (1, 'Fitzgerald', 98000.00),
    (2, 'Greenwood', 105500.00),
    (3, 'Hollister', 87250.00);
