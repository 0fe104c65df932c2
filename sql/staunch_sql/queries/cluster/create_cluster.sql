-- Makes the roles and the database of a fresh cluster; one statement a line, as single-user mode wants it.
ALTER ROLE postgres PASSWORD '{postgres}';
CREATE ROLE staunch_owner LOGIN CREATEROLE PASSWORD '{staunch_owner}';
CREATE ROLE staunch_reader LOGIN PASSWORD '{staunch_reader}';
ALTER ROLE staunch_reader SET default_transaction_read_only = on;
CREATE DATABASE staunch OWNER staunch_owner;
REVOKE TEMPORARY ON DATABASE staunch FROM PUBLIC;
