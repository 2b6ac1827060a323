"""Reading many sessions in few requests: by pages of the API's list."""
