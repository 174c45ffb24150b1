create index on employee_fact (employee_id, attribute, lower(recorded));
create index on employee_fact (attribute, lower(valid));
create index on organisation_fact (attribute, lower(valid));
