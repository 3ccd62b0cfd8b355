<%@ page contentType="text/html; charset=UTF-8" %><!doctype html><title>Shop</title><p>Welcome to the shop.
