-- Lists the provinces that simulated customers live in.
SELECT province_code::text AS province_code FROM staunch.provinces ORDER BY province_code COLLATE "C";
