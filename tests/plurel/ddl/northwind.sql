-- The tables, columns, keys and checks of the Northwind trader, written down anew in PostgreSQL's types.
CREATE TABLE categories (category_id smallint NOT NULL PRIMARY KEY, category_name character varying(15) NOT NULL, description text, picture bytea);
CREATE TABLE customer_demographics (customer_type_id character varying(5) NOT NULL PRIMARY KEY, customer_desc text);
CREATE TABLE customers (
  customer_id character varying(5) NOT NULL PRIMARY KEY, company_name character varying(40) NOT NULL, contact_name character varying(30),
  contact_title character varying(30), address character varying(60), city character varying(15), region character varying(15),
  postal_code character varying(10), country character varying(15), phone character varying(24), fax character varying(24)
);
CREATE TABLE customer_customer_demo (
  customer_id character varying(5) NOT NULL REFERENCES customers, customer_type_id character varying(5) NOT NULL REFERENCES customer_demographics,
  PRIMARY KEY (customer_id, customer_type_id)
);
CREATE TABLE employees (
  employee_id smallint NOT NULL PRIMARY KEY, last_name character varying(20) NOT NULL, first_name character varying(10) NOT NULL,
  title character varying(30), title_of_courtesy character varying(25), birth_date date, hire_date date, address character varying(60),
  city character varying(15), region character varying(15), postal_code character varying(10), country character varying(15),
  home_phone character varying(24), extension character varying(4), photo bytea, notes text, reports_to smallint REFERENCES employees,
  photo_path character varying(255), CONSTRAINT ck_birthdate CHECK (birth_date < CURRENT_DATE), CONSTRAINT ck_hired CHECK (hire_date > birth_date)
);
CREATE TABLE suppliers (
  supplier_id smallint NOT NULL PRIMARY KEY, company_name character varying(40) NOT NULL, contact_name character varying(30),
  contact_title character varying(30), address character varying(60), city character varying(15), region character varying(15),
  postal_code character varying(10), country character varying(15), phone character varying(24), fax character varying(24), homepage text
);
CREATE TABLE products (
  product_id smallint NOT NULL PRIMARY KEY, product_name character varying(40) NOT NULL, supplier_id smallint REFERENCES suppliers,
  category_id smallint REFERENCES categories, quantity_per_unit character varying(20), unit_price real DEFAULT 0, units_in_stock smallint,
  units_on_order smallint, reorder_level smallint, discontinued integer DEFAULT 0 NOT NULL CHECK (discontinued IN (0, 1)),
  CONSTRAINT ck_price CHECK (unit_price >= 0), CONSTRAINT ck_reorder CHECK (reorder_level >= 0), CHECK (units_in_stock >= 0), CHECK (units_on_order >= 0)
);
CREATE TABLE region (region_id smallint NOT NULL PRIMARY KEY, region_description character varying(60) NOT NULL);
CREATE TABLE shippers (shipper_id smallint NOT NULL PRIMARY KEY, company_name character varying(40) NOT NULL, phone character varying(24));
CREATE TABLE orders (
  order_id smallint NOT NULL PRIMARY KEY, customer_id character varying(5) REFERENCES customers, employee_id smallint REFERENCES employees,
  order_date date, required_date date, shipped_date date, ship_via smallint REFERENCES shippers, freight real DEFAULT 0, ship_name character varying(40),
  ship_address character varying(60), ship_city character varying(15), ship_region character varying(15), ship_postal_code character varying(10),
  ship_country character varying(15), CONSTRAINT ck_dates CHECK (required_date >= order_date AND (shipped_date IS NULL OR shipped_date >= order_date))
);
CREATE TABLE territories (
  territory_id character varying(20) NOT NULL PRIMARY KEY, territory_description character varying(60) NOT NULL, region_id smallint NOT NULL REFERENCES region
);
CREATE TABLE employee_territories (
  employee_id smallint NOT NULL REFERENCES employees, territory_id character varying(20) NOT NULL REFERENCES territories,
  PRIMARY KEY (employee_id, territory_id)
);
CREATE TABLE order_details (
  order_id smallint NOT NULL REFERENCES orders, product_id smallint NOT NULL REFERENCES products, unit_price real NOT NULL, quantity smallint NOT NULL,
  discount real NOT NULL, PRIMARY KEY (order_id, product_id), CONSTRAINT ck_discount CHECK (discount >= 0 AND discount <= 1),
  CONSTRAINT ck_quantity CHECK (quantity > 0), CONSTRAINT ck_unit_price CHECK (unit_price >= 0)
);
CREATE TABLE us_states (state_id smallint NOT NULL PRIMARY KEY, state_name character varying(100), state_abbr character varying(2), state_region character varying(50));
CREATE INDEX by_city ON customers (city);
CREATE VIEW current_products AS SELECT product_id, product_name FROM products WHERE discontinued = 0;
