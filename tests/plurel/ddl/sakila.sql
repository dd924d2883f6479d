# Actors and films in the manner of Sakila, MySQL.
CREATE TABLE `language` (`language_id` TINYINT UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'key', `name` CHAR(20) NOT NULL, PRIMARY KEY (`language_id`)) ENGINE=InnoDB;
CREATE TABLE `actor` (
  `actor_id` SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT, `last_name` VARCHAR(45) NOT NULL, `active` TINYINT(1) NOT NULL,
  PRIMARY KEY (`actor_id`), KEY `idx_name` (`last_name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE `film` (
  `film_id` SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT, `language_id` TINYINT UNSIGNED NOT NULL, `original_language_id` TINYINT UNSIGNED DEFAULT NULL,
  `rating` ENUM('G', 'PG', 'it''s') DEFAULT 'G', `release_year` YEAR, `cost` DECIMAL(5,2) NOT NULL, `updated` TIMESTAMP NOT NULL,
  PRIMARY KEY (`film_id`), UNIQUE KEY `once` (`language_id`, `updated`),
  CONSTRAINT `fk_1` FOREIGN KEY (`language_id`) REFERENCES `language` (`language_id`),
  CONSTRAINT `fk_2` FOREIGN KEY (`original_language_id`) REFERENCES `language` (`language_id`)
) ENGINE=InnoDB;
CREATE TABLE `film_actor` (
  `actor_id` SMALLINT UNSIGNED NOT NULL, `film_id` SMALLINT UNSIGNED NOT NULL, PRIMARY KEY (`actor_id`, `film_id`),
  FOREIGN KEY (`actor_id`) REFERENCES `actor` (`actor_id`), FOREIGN KEY (`film_id`) REFERENCES `film` (`film_id`)
) ENGINE=InnoDB;
