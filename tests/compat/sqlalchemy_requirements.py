"""What SQLAlchemy's suite may ask of a database, where a session has one schema of its own: all it asks of PostgreSQL but a second one.

Named in the suite's own configuration (`test.cfg`) for both runs, so that its tables are made without their twins in `test_schema`.
"""

from sqlalchemy.testing import exclusions
from test.requirements import DefaultRequirements


class OneSchema(DefaultRequirements):
    @property
    def schemas(self):
        return exclusions.closed()

    @property
    def cross_schema_fk_reflection(self):
        return exclusions.closed()

    @property
    def default_schema_name_switch(self):
        return exclusions.closed()
