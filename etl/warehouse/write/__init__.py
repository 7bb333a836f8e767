"""Write rows to the warehouse: ``batch`` commits them with the bookmarks that claim them."""
