<% response.sendRedirect("index.jsp"); %>
