def page(front):
    return "x"
