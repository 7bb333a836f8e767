"""``prices check``: is the price list right, by other lists, by rules, and by its age?"""
