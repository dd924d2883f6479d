-- A film rental in the manner of Pagila, PostgreSQL: an enumeration, keys added afterwards, a cycle of tables.
CREATE TYPE public.rating AS ENUM ('G', 'PG', 'R');
CREATE TABLE public.country (country_code character(3) NOT NULL, name text NOT NULL, is_large boolean DEFAULT false NOT NULL);
CREATE TABLE public.store (store_id serial PRIMARY KEY, manager_id integer, country_code character(3) NOT NULL, opens time);
CREATE TABLE public.staff (staff_id serial PRIMARY KEY, store_id integer NOT NULL, "Full Name" character varying(40) NOT NULL);
CREATE TABLE public.film (
  film_id bigserial PRIMARY KEY, title text NOT NULL UNIQUE, rating public.rating DEFAULT 'G' NOT NULL,
  rate numeric(4,2) NOT NULL, length smallint, released date, CONSTRAINT positive CHECK ((rate > 0) AND (rate <= 9.99))
);
CREATE TABLE public.inventory (film_id bigint NOT NULL, store_id integer NOT NULL, copies integer NOT NULL);
CREATE TABLE public.rental (
  rental_id bigserial PRIMARY KEY, film_id bigint NOT NULL, store_id integer NOT NULL, opened_by integer NOT NULL,
  closed_by integer, rented_at timestamp with time zone NOT NULL,
  status text NOT NULL CHECK (status = ANY (ARRAY['out'::text, 'back'::text]))
);
COMMENT ON TABLE public.film IS 'what; is lent';
ALTER TABLE ONLY public.country ADD CONSTRAINT country_pkey PRIMARY KEY (country_code);
ALTER TABLE ONLY public.inventory ADD CONSTRAINT inventory_pkey PRIMARY KEY (film_id, store_id);
ALTER TABLE public.inventory ADD FOREIGN KEY (film_id) REFERENCES public.film, ADD FOREIGN KEY (store_id) REFERENCES public.store;
ALTER TABLE public.store ADD CONSTRAINT managed FOREIGN KEY (manager_id) REFERENCES public.staff (staff_id);
ALTER TABLE public.store ADD FOREIGN KEY (country_code) REFERENCES public.country (country_code) ON DELETE RESTRICT;
ALTER TABLE public.staff ADD CONSTRAINT works FOREIGN KEY (store_id) REFERENCES public.store (store_id);
ALTER TABLE public.rental ADD FOREIGN KEY (film_id, store_id) REFERENCES public.inventory (film_id, store_id);
ALTER TABLE public.rental ADD FOREIGN KEY (opened_by) REFERENCES public.staff, ADD FOREIGN KEY (closed_by) REFERENCES public.staff;
